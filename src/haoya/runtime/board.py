# SPDX-License-Identifier: AGPL-3.0-or-later
"""The board: how every part is doing, told once per change with the reason."""

import logging
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from haoya.runtime.settings import Finding

log = logging.getLogger("haoya.runtime")

State = Literal["opening", "open", "waiting", "parked"]


class Health(msgspec.Struct, kw_only=True):
    """One part's state; times in Unix seconds, 0 for never. While it opens again, `reason` is
    still why it was shut."""

    state: State = "opening"
    reason: str = ""
    since: float = 0
    last_heard: float = 0
    opened: int = 0
    """How many times it has been opened."""
    told: tuple[State, str] = ("opening", "")
    """What was logged last."""


class Board:
    """Health by part (`channels.tg`, `models.main`, `journal`) and what the owner should know.

    `clean` takes secrets out of what others say about themselves."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        clean: Callable[[str], str] = lambda text: text,
    ) -> None:
        self.clock = clock
        self.clean = clean
        self.health: dict[str, Health] = {}
        self.findings: dict[str, tuple[Finding, ...]] = {}

    def part(self, key: str) -> Health:
        """The health of a part, made on first sight."""
        return self.health.setdefault(key, Health(since=self.clock()))

    def report(self, key: str, state: State, reason: str = "") -> None:
        """Note a part's state; a change is logged once, an attempt to open never."""
        health, reason = self.part(key), self.clean(reason)
        if state != health.state:
            health.state, health.since = state, self.clock()
            health.opened += state == "open"
        if state == "opening" or (state, reason) == health.told:
            return
        health.reason, health.told = reason, (state, reason)
        level = logging.INFO if state == "open" else logging.WARNING
        log.log(level, "%s is %s%s", key, state, f": {reason}" if reason else "")

    def heard(self, key: str) -> None:
        """The other side of a channel proved that it is there."""
        self.part(key).last_heard = self.clock()

    def forget(self, key: str) -> None:
        """The part is gone from the settings."""
        self.health.pop(key, None)
        self.findings.pop(key, None)

    def find(self, topic: str, *findings: Finding) -> None:
        """Replace what is known about one topic; no findings clears it."""
        if findings:
            self.findings[topic] = tuple(
                msgspec.structs.replace(finding, message=self.clean(finding.message))
                for finding in findings
            )
        else:
            self.findings.pop(topic, None)

    def all_findings(self) -> list[Finding]:
        """Everything the owner should know, worst first."""
        order = {"error": 0, "warning": 1, "info": 2}
        flat = [finding for some in self.findings.values() for finding in some]
        return sorted(flat, key=lambda finding: order[finding.severity])
