# SPDX-License-Identifier: AGPL-3.0-or-later
"""What every `[channels.NAME]` has, whatever its network."""

from typing import Literal, cast

import pydantic
from pydantic import ConfigDict, Field

from haoya.policy.access import Access


class ChannelFrame(pydantic.BaseModel):
    """The keys every `[channels.NAME]` has; the rest belongs to the plugin."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    use: str = Field(min_length=1)
    enabled: bool = True
    access: Literal["pairing", "open"] | list[str] = "pairing"

    @pydantic.field_validator("access", mode="before")
    @classmethod
    def _numbers_are_ids(cls, value: object) -> object:
        if isinstance(value, list):
            items = cast("list[object]", value)
            return [str(item) if type(item) is int else item for item in items]
        return value

    def rule(self) -> Access:
        """Policy's form of `access`."""
        if isinstance(self.access, str):
            return Access(mode=self.access)
        return Access(mode="list", ids=frozenset(self.access))
