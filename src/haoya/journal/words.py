# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the journal answers with, beside the entries themselves."""

from haoya.core.event import Entry, Said
from haoya.core.message import Address, Word


class Owed(Word, frozen=True, kw_only=True):
    """A `Said` that the network has not wholly taken yet.

    `entry.event` is always that `said`; `address` is where it goes. `piece` is the next piece to
    send, which is how many were taken so far. `drafted` is the network's id of a streamed draft
    that the answer replaces, or "". `sending` says that this next piece was once on its way
    without an answer: whether it arrived is not known.
    """

    entry: Entry
    said: Said
    address: Address
    piece: int = 0
    drafted: str = ""
    sending: bool = False


class Conversation(Word, frozen=True, kw_only=True):
    """A conversation and how far it has come: its last entry's number and time, and its length."""

    address: Address
    last: int
    at: float
    lines: int


class Figures(Word, frozen=True, kw_only=True):
    """How the journal is: for `status`, `doctor` and the metrics.

    `bytes` on disk, with the write-ahead log; `commit_seconds` is how long the last commit took;
    `failure` says why the last write failed, and is "" as soon as one has worked again.
    `unreadable` counts lines that a read left out, because a newer haoya wrote them or the disk
    changed them.
    """

    lines: int
    bytes: int
    commit_seconds: float
    failure: str = ""
    unreadable: int = 0
