# SPDX-License-Identifier: AGPL-3.0-or-later
"""Hosts and web addresses in one canonical form.

It follows the URL Standard's host parser (url.spec.whatwg.org, 3.5), for that is
how programs read the addresses which people are shown; what it only warns of is refused here.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import unquote_to_bytes

import idna

from haoya.core.message import Word
from haoya.policy.addresses import IP

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
        return literal(self.host)

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


def literal(host: str) -> IP | None:
    """The address that a canonical host is, if it is one."""
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
    host, port = parted(authority)
    return site_of(scheme, host, port)


def parted(authority: str) -> tuple[str, int | None]:
    """Host (IPv6 still in brackets) and port of an authority; ValueError for none."""
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
    return literal(host) is None and _LOCAL.fullmatch(host) is not None
