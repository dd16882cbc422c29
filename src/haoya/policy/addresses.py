# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an IP address is for: public, or one of the blocks that are not.

After IANA's registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890 and what followed
it) and of multicast addresses (RFC 5771, RFC 4291). Stricter than those in three ways: blocks that
are special and yet reachable (AMT, AS112, ORCHID) hold nothing that anybody would browse; addresses
that carry another one inside (6to4, Teredo, ISATAP, IPv4-mapped) are ways round every rule; and the
machines of clouds tell secrets at addresses of which some look public.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Literal

IP = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Kind = Literal["public", "private", "loopback", "metadata", "special"]
"""`private` are an owner's own networks; `metadata` where clouds tell their machines secrets."""

METADATA = frozenset(
    {
        IPv4Address("169.254.169.254"),  # most clouds
        IPv4Address("169.254.170.2"),  # AWS, credentials of containers
        IPv4Address("100.100.100.200"),  # Alibaba Cloud
        IPv4Address("192.0.0.192"),  # Oracle Cloud
        IPv4Address("168.63.129.16"),  # Azure, in a block that looks public
        IPv6Address("fd00:ec2::254"),  # AWS
        IPv6Address("fd20:ce::254"),  # Google Cloud
    }
)

_BLOCKS: tuple[tuple[str, Kind, str], ...] = (
    ("127.0.0.0/8", "loopback", "loopback (RFC 1122)"),
    ("10.0.0.0/8", "private", "private-use (RFC 1918)"),
    ("172.16.0.0/12", "private", "private-use (RFC 1918)"),
    ("192.168.0.0/16", "private", "private-use (RFC 1918)"),
    ("100.64.0.0/10", "private", "shared address space (RFC 6598)"),
    ("0.0.0.0/8", "special", "this network (RFC 791)"),
    ("169.254.0.0/16", "special", "link-local (RFC 3927)"),
    ("192.0.0.0/24", "special", "IETF protocol assignments (RFC 6890)"),
    ("192.0.2.0/24", "special", "documentation (RFC 5737)"),
    ("192.31.196.0/24", "special", "AS112 (RFC 7535)"),
    ("192.52.193.0/24", "special", "AMT (RFC 7450)"),
    ("192.88.99.0/24", "special", "6to4 relay anycast (RFC 7526)"),
    ("192.175.48.0/24", "special", "AS112 (RFC 7534)"),
    ("198.18.0.0/15", "special", "benchmarking (RFC 2544)"),
    ("198.51.100.0/24", "special", "documentation (RFC 5737)"),
    ("203.0.113.0/24", "special", "documentation (RFC 5737)"),
    ("224.0.0.0/4", "special", "multicast (RFC 5771)"),
    ("240.0.0.0/4", "special", "reserved or broadcast (RFC 1112, RFC 919)"),
    ("::1/128", "loopback", "loopback (RFC 4291)"),
    ("fc00::/7", "private", "unique-local (RFC 4193)"),
    ("::/128", "special", "unspecified (RFC 4291)"),
    ("::ffff:0:0/96", "special", "IPv4-mapped (RFC 4291)"),
    ("::ffff:0:0:0/96", "special", "IPv4-translated (RFC 7915)"),
    ("::/96", "special", "IPv4-compatible (RFC 4291)"),
    ("64:ff9b:1::/48", "special", "local-use translation (RFC 8215)"),
    ("100::/64", "special", "discard-only (RFC 6666)"),
    ("100:0:0:1::/64", "special", "dummy prefix (RFC 9780)"),
    ("2001::/32", "special", "Teredo (RFC 4380)"),
    ("2001:db8::/32", "special", "documentation (RFC 3849)"),
    ("2001::/23", "special", "IETF protocol assignments (RFC 2928)"),
    ("2002::/16", "special", "6to4 (RFC 3056)"),
    ("2620:4f:8000::/48", "special", "AS112 (RFC 7534)"),
    ("3ffe::/16", "special", "6bone, given back (RFC 3701)"),
    ("3fff::/20", "special", "documentation (RFC 9637)"),
    ("5f00::/16", "special", "segment routing (RFC 9602)"),
    ("fe80::/10", "special", "link-local (RFC 4291)"),
    ("fec0::/10", "special", "site-local (RFC 3879)"),
    ("ff00::/8", "special", "multicast (RFC 4291)"),
)
_TABLE: tuple[tuple[Network, Kind, str], ...] = tuple(
    (ip_network(block), kind, name) for block, kind, name in _BLOCKS
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def inner(address: IP) -> IPv4Address | None:
    """The IPv4 address that NAT64 makes of this one (RFC 6052), if it is one of NAT64's.

    >>> inner(IPv6Address("64:ff9b::7f00:1"))
    IPv4Address('127.0.0.1')
    """
    if address.version == 6 and address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def kind_of(address: IP) -> tuple[Kind, str]:
    """What an address is for, and the name of the block that says so ("" for a public one).

    >>> kind_of(IPv4Address("10.1.2.3"))
    ('private', 'private-use (RFC 1918)')
    >>> kind_of(IPv4Address("93.184.215.14"))
    ('public', '')
    """
    if address in METADATA:
        return "metadata", "a cloud's metadata service"
    for network, kind, name in _TABLE:
        if address.version == network.version and address in network:
            return kind, name
    if isinstance(address, IPv4Address):
        return "public", ""
    if address.scope_id is not None:
        return "special", "bound to a network interface (RFC 4007)"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return "special", "ISATAP (RFC 5214)"
    if carried := inner(address):
        kind, name = kind_of(carried)
        return kind, name and f"NAT64 of {name}"
    if address not in _GLOBAL_UNICAST:
        return "special", "not assigned (RFC 4291)"
    return "public", ""
