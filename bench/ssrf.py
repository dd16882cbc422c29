# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether an address that somebody else chose can lead a request where it must not go.

    python bench/ssrf.py [--json] [--unguarded]

The real egress client lives in a small internet on loopback (tests/servers/internet.py): a real
name server that can change its mind, and a real web server at every address, the forbidden ones
too. A case is *accepted* if any request arrived at an address that is not public and that the
owner has not allowed; *refused_honest* counts honest addresses that were not answered.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from ssl import SSLContext

import httpx2
import msgspec

import rig

sys.path.append(str(Path(__file__).parents[1]))
from tests.servers.internet import Internet, Page, certified, moved

from haoya.policy.egress import Rules
from haoya.runtime.egress import Egress
from haoya.runtime.egress_settings import EgressSettings
from haoya.runtime.http import Pool
from haoya.runtime.pinning import Own, Pinned

GOOD, GOOD6, OTHER = "93.184.215.14", "2606:2800:21f:cb07::1", "151.101.1.69"
"""Public addresses; example.org's, and another."""

OWN, ALLOWED, CORP = "127.0.0.1", "192.168.1.5", "10.20.30.40"
"""What the owner wrote as a model's base_url, what is allowed, what a name that is allowed has."""

METADATA = "169.254.169.254"

SPELLINGS = [
    "http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://2130706433/",
    "http://017700000001/", "http://0177.0.0.1/", "http://0177.0.0.01/", "http://0x7f.0.0.1/",
    "http://0x7f000001/", "http://0X7F.0X0.0X0.0X1/", "http://0x7f.1/", "http://127.0.0.1./",
    "http://127。0。0。1/", "http://127．0．0．1/", "http://１２７.0.0.1/",
    "http://①②⑦.⓪.⓪.①/", "http://%31%32%37.0.0.1/", "http://127.0.0.%31/",
    "http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/", "http://0/", "http://0.0.0.0/", "http://0x0/",
    "http://127.127.127.127/", "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::]/",
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[::127.0.0.1]/", "http://[64:ff9b::127.0.0.1]/", "http://[64:ff9b:1::127.0.0.1]/",
    "http://[2002:7f00:1::]/", "http://[2001:0:7f00:1::80ff:fffe]/", "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/", "http://[2606:2800::5efe:7f00:1]/", "http://localhost/",
    "http://LOCALHOST/", "http://localhost./", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://loc%61lhost/",
    "http://a.localhost/", "http://127.0.0.1.nip.example/", "http://2852039166/",
    "http://0xA9FEA9FE/", "http://0251.0376.0251.0376/", "http://169.254.43518/",
    "http://[::ffff:a9fe:a9fe]/", "http://metadata.google.internal/", "http://168.63.129.16/",
    "http://example.org@127.0.0.1/", "http://example.org:80@127.0.0.1/",
    "http://example.org%40127.0.0.1/", "http://127.0.0.1%00.example.org/",
    "http://127.0.0.1\x00.example.org/", "http://example.org\\@127.0.0.1/",
    "http://127.0.0.1\\.example.org/", "http://127.0.0.1#@example.org/",
    "http://127.0.0.1?@example.org/", "http://127.0.0.1%2f.example.org/",
    "http://127.0.0.1%23.example.org/", "http://127.0.0.1\t/", "http://127.0.0.1%09/",
    "http://127.0.0.1%0d%0aHost:%20example.org/", "http://127.0.0.1:80/", "http://127.0.0.1:080/",
    "http:127.0.0.1/", "http:///127.0.0.1/", "http:/\\127.0.0.1/", "HTTP://127.0.0.1/",
    "https://127.0.0.1/", "http://127.0.0.1:6379/", "http://127.0.0.1:22/",
    "http://example.org:22/", "http://example.org:8080/", "ftp://127.0.0.1/", "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO", "ws://127.0.0.1/", "dict://127.0.0.1:11211/", "//127.0.0.1/",
    "http://0x7f.0x0.0x0.0x1.example.org.127.0.0.1/", "http://4294967297/", "http://[::1]:80/",
]  # fmt: skip

RANGES = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
    "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "100.100.100.200/32", "168.63.129.16/32",
    "::1/128", "::/128", "::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48",
    "64:ff9b::7f00:0/104", "64:ff9b::a00:0/104", "64:ff9b::a9fe:a9fe/128", "100::/64", "2001::/32",
    "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "2002::/16", "3fff::/20",
    "5f00::/16", "fc00::/7", "fd00:ec2::254/128", "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip

BLOCKS = [ip_network(block) for block in RANGES]
DENIED = ip_network("151.101.2.0/24")

HONEST = [
    "http://example.org/", "https://example.org/", "HTTP://EXAMPLE.ORG/a?b=c#d",
    "http://example.org./", "http://example.org:80/", "https://example.org:443/",
    f"http://{GOOD}/", f"http://[{GOOD6}]/", "http://[64:ff9b::93.184.215.14]/",
    "http://例子.中国/", "http://xn--fsqu00a.xn--fiqs8s/",
    "http://my_host.example.org/", "http://6.example.org/", "http://two.example.org/",
    "http://1.1.1.1/", "http://100.63.255.255/", "http://172.32.0.1/", "http://192.167.255.255/",
    "http://[2001:4860:4860::8888]/", "http://127.0.0.1.example.org/", "http://localhost.example/",
    "http://example.org/%31%32%37.0.0.1?u=http://127.0.0.1/", "http://example.org/a@127.0.0.1",
    "http://example.org/moved/within", "http://example.org/moved/away",
    "http://example.org/moved/secure", f"http://{ALLOWED}:8080/", "https://wiki.corp.example/",
    "http://nas.example:8080/", f"http://{OWN}:9/v1/models",
]  # fmt: skip

CERTIFIED = ("example.org", "*.corp.example", "corp.example", "evilcorp.example")
SETTINGS = EgressSettings(
    allow=(f"{ALLOWED}:8080", "*.corp.example"), deny=("denied.example", "151.101.2.0/24")
)
LAID = {(ALLOWED, 8080), (CORP, 443), (OWN, 9)}


class Case(msgspec.Struct, frozen=True):
    """What is tried; `prepare` changes the internet first."""

    kind: str
    url: str
    prepare: Callable[[Internet], None] = lambda _: None
    times: int = 1


class Outcome(msgspec.Struct, frozen=True):
    """What became of a case: where requests arrived that must not, and whether it was answered."""

    case: Case
    wrong: list[str]
    answered: bool


def cases() -> list[Case]:
    """Everything that must be refused."""
    found = [Case("spelling", url) for url in SPELLINGS]
    for block in RANGES:
        network = ip_network(block)
        for address in {network[0], network[-1], network[min(1, network.num_addresses - 1)]}:
            host = f"[{address}]" if address.version == 6 else str(address)
            found.append(Case("range", f"http://{host}/"))
            found.append(Case("name", "http://evil.example/", _named(str(address))))
            found.append(Case("mixed", "http://evil.example/", _named([GOOD, str(address)])))
            found.append(Case("redirect", "http://example.org/", _moved(f"http://{host}/")))
    for url in SPELLINGS:
        if url.isprintable():
            found.append(Case("redirect", "http://example.org/", _moved(url)))
    for status in (301, 303, 307, 308):
        found.append(Case("redirect", "http://example.org/", _moved(f"http://{METADATA}/", status)))
    found += [
        Case("rebinding", "http://rebind.example/", _rebinding(GOOD, OWN), times=3),
        Case("rebinding", "http://rebind.example/", _rebinding(OWN, GOOD)),
        Case("rebinding", "http://rebind.example/", _rebinding(GOOD, [GOOD, METADATA]), times=3),
        Case("rebinding", "http://rebind.example/", _rebinding([GOOD, OWN], GOOD)),
        Case("rebinding", "http://rebind.example/", _rebinding(GOOD6, "::1"), times=3),
        Case("rules", "http://denied.example/"),
        Case("rules", "http://also.example/", _named("151.101.2.7", "also.example")),
        Case("rules", f"http://{ALLOWED}/"),
        Case("rules", f"http://{ALLOWED}:8081/"),
        Case("rules", "http://192.168.1.6:8080/"),
        Case("rules", "https://corp.example/", _named(CORP, "corp.example")),
        Case("rules", "https://evilcorp.example/", _named(CORP, "evilcorp.example")),
        Case("rules", "https://wiki.corp.example/", _named(OWN, "wiki.corp.example")),
        Case("rules", "https://wiki.corp.example/", _named(METADATA, "wiki.corp.example")),
        Case("rules", f"http://{OWN}:10/"),
        Case("rules", f"http://{OWN}:9@example.org:22/"),
        Case("rules", "http://example.org/", _moved(f"http://{OWN}:10/")),
    ]
    return found


def _named(answers: str | list[str], name: str = "evil.example") -> Callable[[Internet], None]:
    return lambda net: net.name(name, answers)


def _rebinding(*answers: str | list[str]) -> Callable[[Internet], None]:
    return lambda net: net.name("rebind.example", *answers)


def _moved(to: str, status: int = 302) -> Callable[[Internet], None]:
    page = Page(b"", status, (("Location", to.encode("utf-8").decode("latin-1")),))

    def prepare(net: Internet) -> None:
        net.pages["example.org", "/"] = page

    return prepare


def furnish(net: Internet) -> None:
    """The names and pages that all cases share."""
    public = ["example.org", "xn--fsqu00a.xn--fiqs8s", "my_host.example.org", "localhost.example"]
    for name in [*public, "127.0.0.1.example.org", "denied.example"]:
        net.name(name, GOOD)
    net.name("6.example.org", GOOD6)
    net.name("two.example.org", [GOOD, OTHER, GOOD6])
    for name in ("localhost", "a.localhost", "127.0.0.1.nip.example"):
        net.name(name, OWN)
    net.name("metadata.google.internal", METADATA)
    net.name("wiki.corp.example", CORP)
    net.name("nas.example", ALLOWED)
    net.pages["example.org", "/moved/within"] = moved("/a")
    net.pages["example.org", "/moved/away"] = moved("http://6.example.org/")
    net.pages["example.org", "/moved/secure"] = moved("https://example.org/", 301)


def wrong(net: Internet) -> list[str]:
    """Where requests arrived that must not."""
    found: list[str] = []
    for hit in net.hits:
        address = ip_address(hit.address)
        special = any(address in block for block in BLOCKS) or "5efe" in hit.address
        denied = hit.headers.get("host") == "denied.example" or address in DENIED
        fine = not special and hit.port in (80, 443)
        if denied or not (fine or (hit.address, hit.port) in LAID):
            found.append(f"{hit.address}:{hit.port}")
    return found


Fetch = Callable[[Internet, SSLContext, str], Awaitable[bool]]


async def asked(client: httpx2.AsyncClient, url: str) -> bool:
    """Whether there was an answer, redirects followed."""
    try:
        async with asyncio.timeout(10):
            return (await client.get(url, follow_redirects=True)).is_success
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError):
        return False


async def guarded(net: Internet, tls: SSLContext, url: str) -> bool:
    """Ask with the client that a tool is lent."""
    async with Egress(
        lambda: SETTINGS, resolve=net.resolve, dial=net.dial, tls=lambda: tls
    ) as egress:
        return await asked(egress.client("tools.web", [f"http://{OWN}:9/v1"]), url)


async def unguarded(net: Internet, tls: SSLContext, url: str) -> bool:
    """Ask as a program without rules does; shows that the cases bite."""
    pool = Pool(Pinned(Own(Rules), resolve=net.resolve, dial=net.dial), tls)
    async with httpx2.AsyncClient(transport=pool) as client:
        return await asked(client, url)


async def tried(case: Case, fetch: Fetch, tls: tuple[SSLContext, SSLContext]) -> Outcome:
    """One case in an internet of its own."""
    server, client = tls
    async with Internet(server) as net:
        furnish(net)
        case.prepare(net)
        answered = False
        for _ in range(case.times):  # a new client each time: nothing is kept alive
            answered = await fetch(net, client, case.url)
        return Outcome(case, wrong(net), answered)


async def measure(fetch: Fetch) -> tuple[list[Outcome], list[Outcome]]:
    """What became of the bad cases, and of the honest ones."""
    with tempfile.TemporaryDirectory() as folder:
        tls = certified(
            Path(folder), "example.org", "*.corp.example", "corp.example", "evilcorp.example"
        )
        bad = [await tried(case, fetch, tls) for case in cases()]
        honest = [await tried(Case("honest", url), fetch, tls) for url in HONEST]
        return bad, honest


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--unguarded", action="store_true", help="ask without any rule")
    given = parser.parse_args()
    began = time.perf_counter()
    bad, honest = asyncio.run(measure(unguarded if given.unguarded else guarded))
    accepted = [one for one in bad if one.wrong]
    refused = [one for one in honest if not one.answered or one.wrong]
    for one in [] if given.unguarded else [*accepted, *refused]:
        print(f"  {one.case.kind}: {one.case.url!r} {one.wrong or 'refused'}", file=sys.stderr)
    kinds = sorted({one.case.kind for one in bad})
    rows: rig.Rows = {
        "accepted": len(accepted),
        "refused_honest": len(refused),
        "cases": len(bad) + len(honest),
        "honest": len(honest),
        **{f"cases_{kind}": sum(one.case.kind == kind for one in bad) for kind in kinds},
        "ranges": len(RANGES),
        "seconds": round(time.perf_counter() - began, 1),
    }
    rig.show("where chosen addresses lead", rows, as_json=given.json)
    return 1 if accepted or refused else 0


if __name__ == "__main__":
    sys.exit(main())
