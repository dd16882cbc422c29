# SPDX-License-Identifier: AGPL-3.0-or-later
"""One way out: names resolved once, addresses pinned, secrets at home, in a small internet."""

import asyncio
import base64
import gzip
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from haoya.core.errors import ConfigError
from haoya.models.peer.link import Link, Stream
from haoya.policy.leaks import Screen
from haoya.runtime.egress import Egress, Leak
from haoya.runtime.egress_settings import EgressSettings
from tests.servers.internet import Internet, Page, certified, moved

BENCH = Path(__file__).parents[2] / "bench" / "ssrf.py"
GOOD, OTHER = "93.184.215.14", "151.101.1.69"
SECRET = "sk-live-Zq8vT2nWx7RbLm4K"


class World:
    """An internet, the way out into it, and what the owner was told."""

    def __init__(self, net: Internet) -> None:
        self.net = net
        self.settings = EgressSettings()
        self.leaks: list[Leak] = []
        self.screen = Screen({"openai": SECRET})
        self.egress: Egress

    async def get(self, url: str, *own: str, **more: object) -> httpx2.Response:
        client = self.egress.client("tools.web", own, ["openai"])
        async with asyncio.timeout(20):
            return await client.request(str(more.pop("method", "GET")), url, **more)  # type: ignore[arg-type]


def credential(name: str, origin: str) -> str:
    if (name, origin) != ("openai", "http://api.example"):
        raise ConfigError(f"{name} is not meant for {origin}")
    return SECRET


@asynccontextmanager
async def living(
    folder: Path, *, http2: bool = False, screened: bool = True
) -> AsyncGenerator[World, None]:
    names = ("example.org", "api.example")
    server, client = certified(folder, *names)
    if http2:
        server.set_alpn_protocols(["h2"])
    async with Internet(server) as net:
        world = World(net)
        net.name("example.org", GOOD)
        net.name("api.example", OTHER)
        async with Egress(
            lambda: world.settings,
            credential=credential,
            screen=lambda: world.screen if screened else Screen({}),
            told=world.leaks.append,
            resolve=net.resolve,
            dial=net.dial,
            tls=lambda: client,
            http2=http2,
        ) as world.egress:
            yield world


def bench(*arguments: str) -> dict[str, int]:
    command = [sys.executable, str(BENCH), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return json.loads(done.stdout.splitlines()[-1])


def test_no_chosen_address_leads_where_it_must_not_and_every_honest_one_is_answered() -> None:
    rows = bench()
    assert (rows["accepted"], rows["refused_honest"]) == (0, 0)
    assert rows["cases_spelling"] >= 37
    assert rows["ranges"] >= 19
    assert rows["cases_redirect"] >= 100
    assert rows["cases_rebinding"] >= 5


def test_the_same_cases_lead_a_program_without_rules_astray() -> None:
    assert bench("--unguarded")["accepted"] > 400


def test_a_name_is_resolved_once_and_a_kept_connection_costs_neither_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            for _ in range(20):
                assert (await world.get("http://example.org/")).text == "ok"
            assert world.net.dns.asked == ["example.org"]
            assert world.net.dialled == [(GOOD, 80)]

    asyncio.run(run())


def test_the_pinned_address_is_asked_for_the_name_and_proves_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            assert (await world.get("https://EXAMPLE.org./a?b=1")).text == "ok"
            (hit,) = world.net.hits
            assert (hit.address, hit.port, hit.target) == (GOOD, 443, "/a?b=1")
            assert hit.headers["host"] == "example.org"
            world.net.name("impostor.example", GOOD)
            with pytest.raises(httpx2.ConnectError, match="impostor"):
                await world.get("https://impostor.example/")
            assert len(world.net.hits) == 1

    asyncio.run(run())


def test_http_2_goes_the_same_way(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    async def run() -> None:
        async with living(tmp_path, http2=True) as world:

            async def serve(
                address: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
            ) -> None:
                def asked(stream: Stream) -> None:
                    seen.append((address, stream.headers[":authority"]))
                    stream.answer(200)
                    tasks.add(asyncio.ensure_future(stream.send(b"two", end=True)))

                tasks: set[asyncio.Future[None]] = set()
                await Link(reader, writer, asked).run()

            world.net.serve = serve
            answers = [await world.get("https://example.org/") for _ in range(3)]
            assert [(a.http_version, a.text) for a in answers] == [("HTTP/2", "two")] * 3
            assert world.net.dns.asked == ["example.org"]
            with pytest.raises(httpx2.ConnectError, match="not public"):
                await world.get("https://10.0.0.1/")

    asyncio.run(run())
    assert seen == [(GOOD, "example.org")] * 3


def test_an_address_that_gives_no_sign_does_not_hold_up_the_next(tmp_path: Path) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            world.net.name("two.example", [GOOD, OTHER])
            world.net.silent = {GOOD}
            assert (await world.get("http://two.example/")).text == "ok"
            assert world.net.hits[0].address == OTHER
            world.net.silent = {GOOD, OTHER}
            world.net.name("none.example", [GOOD, OTHER])
            with pytest.raises(httpx2.ConnectTimeout):
                await world.get("http://none.example/", timeout=0.5)

    asyncio.run(run())


def test_each_part_reaches_what_its_own_settings_name_and_no_other_part_does(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            home = "http://127.0.0.1:8081/v1"
            assert (await world.get(f"{home}/models", home)).text == "ok"
            for url in (f"{home}/models", "http://127.0.0.1:8082/v1", "http://127.1:8081/v1"):
                with pytest.raises(httpx2.ConnectError, match="not public"):
                    await world.get(url)
            with pytest.raises(httpx2.ConnectError, match="not public"):
                await world.get("http://127.0.0.1:8082/v1", home)
            assert world.net.dialled == [("127.0.0.1", 8081)]

    asyncio.run(run())


def test_deny_holds_for_what_the_settings_name_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            assert (await world.get("http://api.example/", "http://api.example")).text == "ok"
            for deny in ("api.example", "151.101.0.0/16"):
                world.settings = EgressSettings(deny=(deny,))
                with pytest.raises(httpx2.ConnectError, match="deny"):
                    await world.get("http://api.example/", "http://api.example")

    asyncio.run(run())


def test_a_change_of_the_rules_holds_for_connections_that_were_open(tmp_path: Path) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            await world.get("http://example.org/")
            world.settings = EgressSettings(deny=("93.184.0.0/16",))
            with pytest.raises(httpx2.ConnectError, match="deny"):
                await world.get("http://example.org/")
            world.settings = EgressSettings()
            assert (await world.get("http://example.org/")).text == "ok"

    asyncio.run(run())


def test_a_user_name_in_an_address_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            with pytest.raises(httpx2.ConnectError, match="user name"):
                await world.get("http://me:pw@example.org/")
            assert not world.net.hits

    asyncio.run(run())


CREDENTIALS = {
    "Authorization": "Bearer secret:openai",
    "X-Api-Key": "k-1",
    "Cookie": "a=b",
    "X-Own": "token secret:openai",
    "X-Fine": "kept",
}


def test_a_secret_takes_the_place_of_its_name_only_on_the_way_to_its_own_origin(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            own = "http://api.example/v1"
            answer = await world.get(f"{own}/secret:openai/x?q=secret:openai", own,
                                     headers=CREDENTIALS)  # fmt: skip
            (hit,) = world.net.hits
            assert hit.target == f"/v1/{SECRET}/x?q=secret:openai"
            assert hit.headers["authorization"] == f"Bearer {SECRET}"
            assert hit.headers["x-own"] == f"token {SECRET}"
            assert SECRET not in repr((answer.request.url, answer.request.headers.raw))

    asyncio.run(run())


def test_a_part_gets_no_secret_that_its_settings_do_not_name(tmp_path: Path) -> None:
    async def run() -> None:
        async with living(tmp_path) as world:
            client = world.egress.client("models.other", ["http://api.example"], ["another"])
            await client.get("http://api.example/", headers={"Authorization": "secret:openai"})
            assert world.net.hits[0].headers["authorization"] == "secret:openai"
            wrong = world.egress.client("models.main", ["http://example.org"], ["openai"])
            with pytest.raises(ConfigError, match="not meant for http://example"):
                await wrong.get("http://example.org/", headers={"Authorization": "secret:openai"})

    asyncio.run(run())


@pytest.mark.parametrize(
    "to", ["http://example.org/", "https://api.example/", "http://api.example:81/"]
)
def test_credentials_stay_behind_when_a_redirect_leads_elsewhere(tmp_path: Path, to: str) -> None:
    async def run() -> None:
        async with living(tmp_path, screened=False) as world:
            world.settings = EgressSettings(allow=("api.example:81",))
            world.net.pages["api.example", "/v1"] = moved(to, 307)
            own, more = "http://api.example/v1", {"headers": CREDENTIALS, "content": b"body"}
            await world.get(own, own, method="POST", follow_redirects=True, **more)
            first, second = world.net.hits
            assert first.headers["authorization"] == f"Bearer {SECRET}"
            assert second.headers["x-fine"] == "kept"
            sent = {"authorization", "x-api-key", "cookie", "x-own"} & second.headers.keys()
            assert not sent
            assert second.body == b"body"

    asyncio.run(run())


ENCODED = {
    "plain": SECRET,
    "base64": base64.b64encode(f"xy{SECRET}".encode()).decode().rstrip("="),
    "hex": SECRET.encode().hex(),
    "reversed": SECRET[::-1],
    "spaced": ".".join(SECRET),
}


@pytest.mark.parametrize("where", ["path", "query", "host", "header", "body"])
@pytest.mark.parametrize("form", ENCODED)
def test_no_chosen_place_is_sent_a_secret_in_any_common_form(
    tmp_path: Path, where: str, form: str
) -> None:
    text = ENCODED[form]

    async def run() -> None:
        async with living(tmp_path) as world:
            url, more = "http://example.org/", {}
            if where == "path":
                url += text
            elif where == "query":
                url += f"?q={text}"
            elif where == "host":
                host = text.replace(".", "").replace("_", "")[:63].strip("-")
                url = f"http://{host}.example.org/"
                world.net.name(f"{host.lower()}.example.org", GOOD)
            elif where == "header":
                more = {"headers": {"X-Note": f"see {text}"}}
            else:
                more = {"method": "POST", "content": f'{{"a": "{text}"}}'.encode()}
            with pytest.raises(httpx2.ConnectError, match="holds a secret") as caught:
                await world.get(url, **more)
            assert SECRET not in str(caught.value)
            assert not world.net.hits
            (leak,) = world.leaks
            assert (leak.part, leak.names, leak.incoming) == (
                "tools.web", frozenset({"openai"}), False,
            )  # fmt: skip

    asyncio.run(run())


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_holds_a_secret_is_withheld_and_told(tmp_path: Path, packed: bool) -> None:
    body = b"word " * 3000 + SECRET.encode() + b" word" * 3000

    async def run() -> None:
        async with living(tmp_path) as world:
            page = Page(gzip.compress(body), 200, (("Content-Encoding", "gzip"),))
            world.net.pages["example.org", "/"] = page if packed else Page(body, pause=0.0001)
            with pytest.raises(httpx2.ReadError, match="withheld"):
                await world.get("http://example.org/")
            assert [(x.host, x.incoming) for x in world.leaks] == [("example.org", True)]
            world.net.pages["example.org", "/"] = Page(gzip.compress(b"fine" * 9999), 200,
                                                       (("Content-Encoding", "gzip"),))  # fmt: skip
            assert (await world.get("http://example.org/")).text == "fine" * 9999

    asyncio.run(run())


def test_a_public_address_of_this_machine_is_this_machine(tmp_path: Path) -> None:
    """A server that listens on all addresses, asked by the machine's public one."""
    address = "198.41.0.4"
    add = ["ip", "addr", "add", f"{address}/32", "dev", "lo"]
    try:
        given = subprocess.run(add, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        given = False
    if not given:
        pytest.skip("this machine cannot be given another address (needs root and ip)")

    async def run() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "0.0.0.0", 0)
        port = server.sockets[0].getsockname()[1]
        allowed = EgressSettings(allow=(f"mine.example:{port}",))
        async with Internet() as net:
            net.name("mine.example", address)
            async with Egress(lambda: allowed, resolve=net.resolve) as egress:
                with pytest.raises(httpx2.ConnectError, match="this machine itself"):
                    await egress.client("tools.web").get(f"http://mine.example:{port}/")
            spelled = EgressSettings(allow=(f"{address}:{port}",))
            async with Egress(lambda: spelled, resolve=net.resolve) as egress:
                with pytest.raises(httpx2.RemoteProtocolError):
                    await egress.client("tools.web").get(f"http://mine.example:{port}/")
        server.close()

    try:
        asyncio.run(run())
    finally:
        subprocess.run(["ip", "addr", "del", f"{address}/32", "dev", "lo"], check=False)


def test_an_ssl_context_is_asked_for_once() -> None:
    made: list[ssl.SSLContext] = []

    def tls() -> ssl.SSLContext:
        made.append(ssl.create_default_context())
        return made[-1]

    async def run() -> None:
        async with Egress(tls=tls) as egress:
            for name in "abc":
                egress.client(name)

    asyncio.run(run())
    assert len(made) == 1
