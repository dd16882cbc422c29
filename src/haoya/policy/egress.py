# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a request may go: hosts in one canonical form, and the owner's rules about them.

Two classes of places. What the owner wrote into the settings may be asked as written. What data or
a model chose may be asked only at public addresses and the usual ports, but for what the owner
allows. A denied place is asked by nobody.

The canonical form follows the URL Standard's host parser (url.spec.whatwg.org, 3.5), for that is
how programs read the addresses which people are shown; what it only warns of is refused here.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote_to_bytes

import idna

from haoya.core.message import Word
from haoya.policy.addresses import IP, Network, inner, kind_of

PORTS = {"http": 80, "https": 443}
"""Schemes that may be asked for, and where they are at home."""

MAX_URL = 8192
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(?:[/?#].*)?", re.DOTALL)
_BAD = re.compile(r"[\x00-\x20\x7f\\]")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL = re.compile(
    r"[^.]+|.*\.(localhost|local|internal|intranet|private|corp|home|lan|home\.arpa)"
)


class Site(Word, frozen=True, kw_only=True):
    """An origin (RFC 6454): scheme, host in canonical form (IPv6 without brackets), port."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> IP | None:
        """The host as an address, where it is one."""
        return _literal(self.host)

    @property
    def authority(self) -> str:
        """As in a Host header: the port only where it is not the scheme's own.

        >>> Site(scheme="https", host="example.org", port=443).authority
        'example.org'
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if PORTS.get(self.scheme) == self.port else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def canonical(host: str) -> str:
    """The one spelling of a host: an address, or a name in lower case and ASCII.

    ValueError, in words, for what is no host.

    >>> canonical("0x7f.1"), canonical("ＥＸＡＭＰＬＥ。org."), canonical("[::FFFF:127.0.0.1]")
    ('127.0.0.1', 'example.org', '::ffff:7f00:1')
    """
    if host.startswith("[") or ":" in host:
        inside = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if "%" in inside:
            raise ValueError(f"{host!r} names a network interface")
        try:
            return _spelled(IPv6Address(inside))
        except ValueError:
            raise ValueError(f"{host!r} is no IPv6 address") from None
    name = host.lower()
    if not _NAME.fullmatch(name):
        name = _mapped(host)
    last = name.rpartition(".")[2]
    if _NUMBER.fullmatch(last):
        return str(_ipv4(name))
    if len(name) > 253:
        raise ValueError(f"{host[:40]!r}… is longer than any name")
    return name


def _mapped(host: str) -> str:
    """A name after percent signs and Unicode (UTS 46), without the dot at its end."""
    try:
        text = unquote_to_bytes(host).decode() if "%" in host else host
        name = idna.uts46_remap(text, std3_rules=False, transitional=False)
        name = name.removesuffix(".")
        if not name.isascii():
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii")
    except (UnicodeError, idna.IDNAError):
        raise ValueError(f"{host!r} is no name of a host") from None
    if not _NAME.fullmatch(name):
        raise ValueError(f"{host!r} is no name of a host")
    return name


def _ipv4(name: str) -> IPv4Address:
    """An address in any of the spellings of inet_aton(3): 127.1, 0177.0.0.1, 0x7f000001."""
    parts = name.split(".")
    try:
        if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
            raise ValueError
        *first, last = (_number(part) for part in parts)
        if any(part > 255 for part in first) or last >= 256 ** (5 - len(parts)):
            raise ValueError
    except ValueError:
        raise ValueError(f"{name!r} is neither a name nor an IPv4 address") from None
    value = last
    for place, part in enumerate(first):
        value += part << (8 * (3 - place))
    return IPv4Address(value)


def _number(part: str) -> int:
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8) if part.startswith("0") else int(part)


def _spelled(address: IPv6Address) -> str:
    """Python writes the last part of some addresses as IPv4, depending on its version."""
    text = IPv6Address(int(address)).compressed
    if "." not in text:
        return text
    head, _, tail = text.rpartition(":")
    low = int(IPv4Address(tail))
    return f"{head}:{low >> 16:x}:{low & 0xFFFF:x}"


def _literal(host: str) -> IP | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def site_of(scheme: str, host: str, port: int | None) -> Site:
    """An origin from its pieces; ValueError where it cannot be one of a web server."""
    scheme = scheme.lower()
    if scheme not in PORTS:
        raise ValueError(f"{scheme!r} is not http or https")
    if port is None:
        port = PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    return Site(scheme=scheme, host=canonical(host), port=port)


def read(url: str) -> Site:
    """The origin of a web address as somebody wrote it; ValueError says what is wrong with it.

    What readers of addresses disagree about (backslashes, blanks and control signs, a user name
    before the host) is refused.

    >>> str(read("HTTP://Example.ORG:80/a?b"))
    'http://example.org'
    """
    if len(url) > MAX_URL or _BAD.search(url):
        raise ValueError("the address is too long, or has blanks, backslashes or control signs")
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("this is no web address; write it as https://HOST/…")
    scheme, authority = match.groups()
    if "@" in authority:
        raise ValueError("the address has a user name in it; leave that out")
    host, port = _parted(authority)
    return site_of(scheme, host, port)


def _parted(authority: str) -> tuple[str, int | None]:
    host, port = authority, ""
    if "]" in authority:
        host, _, rest = authority.rpartition("]")
        host += "]"
        if rest[:1] not in ("", ":"):
            raise ValueError(f"{authority!r} is no host")
        port = rest[1:]
    elif ":" in authority:
        host, _, port = authority.rpartition(":")
        if ":" in host:
            raise ValueError(f"{authority!r} is no host; write IPv6 addresses in brackets")
    if port and not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError(f"{port!r} is no port")
    return host, int(port) if port else None


def is_local_name(host: str) -> bool:
    """Whether a name is one that only a local network knows (RFC 6761, 6762, 8375, and names that
    ICANN keeps out of the public tree): no question for somebody else's resolver.

    >>> is_local_name("printer"), is_local_name("nas.local"), is_local_name("example.org")
    (True, True, False)
    """
    return _literal(host) is None and _LOCAL.fullmatch(host) is not None


class Rule(Word, frozen=True, kw_only=True):
    """A line of `allow` or `deny`: a host, all hosts below a domain (`*.`), or a network of
    addresses; with `port` (0: none written) only there."""

    text: str
    host: str = ""
    below: bool = False
    network: str = ""
    port: int = 0

    @property
    def block(self) -> Network | None:
        """The addresses it names."""
        return ip_network(self.network) if self.network else None

    def names(self, host: str) -> bool:
        """Whether it names this host by its name."""
        if self.below:
            return host.endswith(f".{self.host}")
        return bool(self.host) and host == self.host

    def holds(self, address: IP) -> bool:
        """Whether this address, or the one it carries inside, is of its network."""
        block = self.block
        if block is None:
            return False
        return any(
            one is not None and one.version == block.version and one in block
            for one in (address, inner(address))
        )

    def covers(self, other: "Rule") -> bool:
        """Whether every place that `other` names is named by this one, ports aside."""
        mine, theirs = self.block, other.block
        if mine is not None or theirs is not None:
            return (
                mine is not None
                and theirs is not None
                and mine.version == theirs.version
                and int(mine.network_address) <= int(theirs.network_address)
                and int(theirs.broadcast_address) <= int(mine.broadcast_address)
            )
        if other.below:
            return self.below and f".{other.host}".endswith(f".{self.host}")
        return self.names(other.host)


def rule_of(text: str) -> Rule:
    """A rule from the settings; ValueError with what to write instead.

    >>> rule_of("192.168.1.5:8080").network, rule_of("*.corp.example").below
    ('192.168.1.5/32', True)
    """
    written = text.strip()
    try:
        if "/" in written:
            block, _, tail = written.partition("/")
            prefix, _, port = tail.partition(":")
            network = str(ip_network(f"{block.strip('[]')}/{prefix}"))
            return Rule(text=text, network=network, port=_port(port))
        below = written.startswith("*.")
        host, port = _parted(written[2:] if below else written)
        name = canonical(host)
    except ValueError:
        raise ValueError(
            f"{text!r} names no place; write a host, *.DOMAIN, an address or a network such as "
            "192.168.1.0/24, with :PORT where it is one port"
        ) from None
    if (address := _literal(name)) is not None:
        if below:
            raise ValueError(f"{text!r}: an address has nothing below it; write 192.168.1.0/24")
        return Rule(text=text, network=str(ip_network(address)), port=port or 0)
    return Rule(text=text, host=name, below=below, port=port or 0)


def _port(text: str) -> int:
    if text and not 0 < int(text) < 65536:
        raise ValueError
    return int(text or 0)


class Rules(Word, frozen=True, kw_only=True):
    """What the owner laid down. `deny` holds before `allow`."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    def denied(self, site: Site, answers: Iterable[IP] = ()) -> str:
        """Why nobody may ask there, "" where the owner does not forbid it."""
        address = site.address
        found = tuple(answers) if address is None else (address,)
        for rule in self.deny:
            if rule.port in (0, site.port) and (
                rule.names(site.host) or any(rule.holds(one) for one in found)
            ):
                return f"{site.host} is denied by {rule.text!r} in [egress] deny"
        return ""

    def refusal(self, site: Site, answers: Sequence[IP] = ()) -> str:
        """Why a place that data chose may not be asked, with the cure; "" where it may.

        `answers` are all addresses of the name; without them a name is judged as far as it can be.
        """
        if why := self.denied(site, answers):
            return why
        address = site.address
        found = answers if address is None else (address,)
        for one in found:
            if why := self._barred(site, one):
                return why
        return ""

    def _barred(self, site: Site, address: IP) -> str:
        kind, block = kind_of(address)
        if any(_opens(rule, site, address, kind) for rule in self.allow):
            return ""
        named = any(rule.names(site.host) and _at(rule, site.port) for rule in self.allow)
        at_home = named and (
            kind in ("public", "private") or (kind == "loopback" and _is_localhost(site.host))
        )
        if at_home or (kind == "public" and site.port in PORTS.values()):
            return ""
        spelled = f"[{address}]" if address.version == 6 else str(address)
        cure = f"the owner may allow {spelled}:{site.port} in [egress]"
        if kind != "public":
            return f"{site.host} is at {address}, which is {block} and not public; {cure}"
        return f"{site.host} is asked at port {site.port}, not 80 or 443; {cure}"


def _opens(rule: Rule, site: Site, address: IP, kind: str) -> bool:
    """Whether a rule about addresses allows this one. Where clouds tell their machines' secrets
    is allowed only by its very address."""
    block = rule.block
    if block is None or not rule.holds(address) or not _at(rule, site.port):
        return False
    return kind != "metadata" or block.num_addresses == 1


def _at(rule: Rule, port: int) -> bool:
    return port == rule.port if rule.port else port in PORTS.values()


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def idle(rules: Rules) -> list[tuple[Rule, str]]:
    """Rules that change nothing, each with the reason."""
    found: list[tuple[Rule, str]] = []
    for place, rule in enumerate(rules.allow):
        above = next((one for one in rules.deny if _denies(one, rule)), None)
        if above is not None:
            found.append((rule, f"deny has {above.text!r}, which holds before it"))
        elif twin := next((one for one in rules.allow[:place] if _allows(one, rule)), None):
            found.append((rule, f"{twin.text!r} allows it already"))
        elif _is_public(rule):
            found.append((rule, "these addresses are public, which needs no rule"))
    for place, rule in enumerate(rules.deny):
        if twin := next((one for one in rules.deny[:place] if _denies(one, rule)), None):
            found.append((rule, f"{twin.text!r} denies it already"))
    return found


def _allows(rule: Rule, other: Rule) -> bool:
    return rule.covers(other) and (rule.port == other.port or _at(rule, other.port))


def _denies(rule: Rule, other: Rule) -> bool:
    return rule.covers(other) and rule.port in (0, other.port)


def _is_public(rule: Rule) -> bool:
    block = rule.block
    return (
        block is not None
        and rule.port in (0, *PORTS.values())
        and block.num_addresses == 1
        and kind_of(block.network_address)[0] == "public"
    )
