# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner should know about the ways out: idle rules, contradictions, stopped leaks."""

from collections.abc import Iterable, Iterator

import httpx2

from haoya.policy.egress import Rules, idle
from haoya.policy.hosts import PORTS, site_of
from haoya.policy.leaks import MIN_CHARS
from haoya.runtime.board import Board
from haoya.runtime.egress import Leak
from haoya.runtime.named import addresses, parts_of, texts
from haoya.runtime.settings import Finding, Settings

LEAKS = 20
"""Stopped leaks that are told at a time."""


def egress_findings(settings: Settings) -> Iterator[Finding]:
    """Rules that change nothing, and rules that shut out what the settings themselves name."""
    rules = settings.egress.rules()
    for rule, why in idle(rules):
        yield Finding(
            id="egress-idle",
            severity="warning",
            section="egress",
            message=f"[egress] {rule.text!r} changes nothing: {why}",
            cure="remove it, or correct what it names",
        )
    if not rules.deny:
        return
    for section, part in parts_of(settings):
        for address in addresses(list(texts(part.table))):
            if why := _denied(rules, address):
                yield Finding(
                    id="egress-denies-part",
                    severity="error",
                    section=section,
                    message=f"[{section}] cannot be reached: {why}",
                    cure="take that rule out of deny, or change the address",
                )


def _denied(rules: Rules, address: str) -> str:
    try:
        url = httpx2.URL(address)
        port = url.port or PORTS.get(url.scheme)
        return rules.denied(site_of(url.scheme, url.raw_host.decode("ascii"), port))
    except (ValueError, httpx2.InvalidURL):
        return ""


def weak_findings(names: Iterable[str]) -> Iterator[Finding]:
    """Secrets that nothing can look for."""
    for name in names:
        yield Finding(
            id="secret-short",
            severity="info",
            section="egress",
            message=f"secret {name!r} has fewer than {MIN_CHARS} signs, so nothing can notice "
            "where it leaves",
            cure="choose a longer one where you can",
        )


class Leaks:
    """Tells the owner of leaks that were stopped, each once."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._found: dict[Leak, Finding] = {}

    def told(self, leak: Leak) -> None:
        """Another one."""
        self._found.pop(leak, None)
        self._found[leak] = _finding(leak)
        self._board.find("egress", *list(self._found.values())[-LEAKS:])


def _finding(leak: Leak) -> Finding:
    names = ", ".join(sorted(leak.names))
    if leak.incoming:
        message = (
            f"an answer of {leak.host} to {leak.part} held a secret ({names}); it was withheld"
        )
    else:
        message = f"{leak.part} would have sent a secret ({names}) to {leak.host}; it was stopped"
    return Finding(
        id="egress-leak",
        severity="error",
        section=leak.part,
        message=message,
        cure="look at the conversation (`haoya why`), and rotate the secret if it was out already",
    )
