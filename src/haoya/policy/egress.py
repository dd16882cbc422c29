# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a request may go: the owner's rules over hosts and addresses.

Two classes of places. What the owner wrote into the settings may be asked as written. What data or
a model chose may be asked only at public addresses and the usual ports, but for what the owner
allows. A denied place is asked by nobody.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from haoya.core.message import Word
from haoya.policy.addresses import IP, Network, inner, kind_of
from haoya.policy.hosts import PORTS, Site, canonical, is_local_name, literal, parted


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
        host, port = parted(written[2:] if below else written)
        name = canonical(host)
    except ValueError:
        raise ValueError(
            f"{text!r} names no place; write a host, *.DOMAIN, an address or a network such as "
            "192.168.1.0/24, with :PORT where it is one port"
        ) from None
    if (address := literal(name)) is not None:
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

    def unresolved(self, site: Site) -> str:
        """Why a name that somebody else's resolver (a proxy's) will look up may not be asked."""
        if why := self.denied(site):
            return why
        if any(rule.names(site.host) and _at(rule, site.port) for rule in self.allow):
            return ""
        cure = f"the owner may allow {site.host}:{site.port} in [egress]"
        if is_local_name(site.host):
            return f"{site.host} is a name of a local network; {cure}"
        if site.port not in PORTS.values():
            return f"{site.host} is asked at port {site.port}, not 80 or 443; {cure}"
        return ""

    def mirrored(self, site: Site, address: IP) -> str:
        """Why a public address that turned out to be this very machine's may not be asked."""
        if any(_opens(rule, site, address, "loopback") for rule in self.allow):
            return ""
        return f"{site.host} is at {address}, which is this machine itself; {_cure(site, address)}"

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
        cure = _cure(site, address)
        if kind != "public":
            return f"{site.host} is at {address}, which is {block} and not public; {cure}"
        return f"{site.host} is asked at port {site.port}, not 80 or 443; {cure}"


def _cure(site: Site, address: IP) -> str:
    spelled = f"[{address}]" if address.version == 6 else str(address)
    return f"the owner may allow {spelled}:{site.port} in [egress]"


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
