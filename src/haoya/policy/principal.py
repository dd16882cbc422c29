# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who somebody is: never a display name, always (platform, immutable id)."""

from typing import Literal

import msgspec

from haoya.core.message import Inbound

Role = Literal["owner", "member", "guest"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A person or program as policy knows it.

    `platform` is the channel's name in the settings, because a network's ids are unique only
    within one of its accounts' worlds; `id` is `Sender.id`. There is no way to make one from a
    name.
    """

    platform: str
    id: str

    @property
    def key(self) -> str:
        """`platform:id`, the form stored in the journal and written in the settings."""
        return f"{self.platform}:{self.id}"

    @classmethod
    def parse(cls, key: str) -> "Principal":
        """The principal behind a key; ValueError where it is none.

        >>> Principal.parse("irc:bob!b@host").id
        'bob!b@host'
        """
        platform, separator, id = key.partition(":")
        if not (platform and separator and id):
            raise ValueError(f"not a person: {key!r}; write CHANNEL:ID, as `haoya pair list` does")
        return cls(platform=platform, id=id)


def principal_of(inbound: Inbound) -> Principal:
    """Who sent a message."""
    return Principal(platform=inbound.address.channel, id=inbound.sender.id)
