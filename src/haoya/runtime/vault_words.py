# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the daemon and the short-lived program that opens its vault say to each other."""

from typing import Literal

import msgspec

from haoya.core.message import Word


class Plain(Word, frozen=True, kw_only=True):
    """A secret that stands in the settings file in the clear: at `path`, to be called `name`."""

    path: tuple[str, ...]
    name: str
    value: str
    origins: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Plain({'.'.join(self.path)})"


class Take(Word, frozen=True, kw_only=True):
    """Open the vault of `home` and give all secrets. First take in what lies about in the clear:
    `plain` from the settings file, and all of secrets.toml. `bind` names the origins of secrets
    that have none yet, `new` holds further secrets to keep. `phrase` is a passphrase that a person
    has typed."""

    home: str
    phrase: str = ""
    plain: tuple[Plain, ...] = ()
    new: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    bind: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])

    def __repr__(self) -> str:
        return f"Take({self.home})"


class Held(Word, frozen=True, kw_only=True):
    """One secret of the vault."""

    name: str
    text: str
    origins: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Held({self.name!r})"


class Taken(Word, frozen=True, kw_only=True):
    """The vault as it is: its secrets, where its key comes from, whether a recovery key exists,
    whether the key file is `fleeting`: it goes with a container, and the home stays.

    `moved` are names of secrets that were taken in, `left` says in sentences what still lies in
    the clear."""

    held: tuple[Held, ...] = ()
    source: str = ""
    recoverable: bool = False
    fleeting: bool = False
    moved: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Fault(Word, frozen=True, kw_only=True):
    """Why it could not be opened: the kind of error, and its words."""

    kind: Literal["ConfigError", "Unready"]
    message: str
    cure: str = ""


class Answer(Word, frozen=True, kw_only=True):
    """One of the two."""

    taken: Taken | None = None
    fault: Fault | None = None
