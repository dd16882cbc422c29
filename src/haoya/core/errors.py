# SPDX-License-Identifier: Apache-2.0
"""The error tree. A class exists only where someone acts on it differently.

    HaoyaError
    ├── ConfigError      the owner edits the settings; the part is parked until they change
    ├── Unready          wait, then open again (the supervisor's one loop does both)
    │   └── Throttled    the network asked for a pause: only this sending waits
    ├── Rejected         credentials or permission refused: park, tell the owner, do not try again
    ├── Undeliverable    this one message can never arrive: report it and go on
    └── Drop             a stage wants this message gone, silently

Every message names the subject, the fact and the cure:
`no channel named 'tg2'; there are: irc, telegram`.
"""

from typing import Literal

Trouble = Literal[
    "unreachable", "throttled", "overloaded", "timeout", "broken", "request", "budget"
]
"""Why a model gave no answer: nobody there, asked to slow down, too busy, silent too long, broke
off or failed, this one request is more than it can take (others it may well answer), or a budget
of the owner's does not suffice for it (it was not asked)."""


class HaoyaError(Exception):
    """Root of the tree; never raised itself."""


class ConfigError(HaoyaError):
    """What a person wrote cannot be used; `cure` says what to write instead."""

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.cure = cure


class Unready(HaoyaError):
    """Not now. `retry_after` is the wait in seconds the other side asked for, if it did.

    `reached` is false where what we tried to send surely never arrived (no connection), so that
    sending it again cannot double it. Models say what the `trouble` is, and with `again` that the
    same request may be asked again at once (their engine fell and is up again).
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        reached: bool = True,
        trouble: Trouble = "broken",
        again: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reached = reached
        self.trouble: Trouble = trouble
        self.again = again


class Throttled(Unready):
    """The network accepts this later; `retry_after` seconds are always given."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after, reached=False)


class Rejected(HaoyaError):
    """The other side refused who we are; only the owner can change that."""


class Undeliverable(HaoyaError):
    """This message can never be delivered (blocked, room gone, part refused)."""


class Drop(HaoyaError):
    """Raised by a stage: the message goes no further and nobody is told."""
