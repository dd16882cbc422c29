# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[policy]`: what the owner lays down about who may do what."""

import re
from typing import Literal

import pydantic
from pydantic import Field

from haoya.core.tool import Place
from haoya.policy.leave import is_rule
from haoya.runtime.section import Section


class PolicySettings(Section):
    """`[policy]`: `owners` are CHANNEL:ID keys; `verdicts` override cells such as member.send;
    `leave` says how far words may go to be thought about; `grant_days` is how long an `always`
    holds; in `mode` plan a run fixes what it will call before it reads anything."""

    owners: list[str] = Field([])
    verdicts: dict[str, Literal["allow", "ask", "deny"]] = Field({})
    ask_hours: float = Field(24, gt=0, le=24 * 30)
    mode: Literal["ask", "plan"] = "ask"
    grant_days: float = Field(30, gt=0, le=3650)
    leave: dict[str, Place] = Field({})

    @pydantic.field_validator("verdicts")
    @classmethod
    def _known_cells(cls, value: dict[str, str]) -> dict[str, str]:
        for cell in value:
            if not re.fullmatch(r"(owner|member|guest)\.(read|write|net|exec|send|spend)", cell):
                raise ValueError(f"{cell!r} is no cell; write ROLE.EFFECT, such as member.send")
        return value

    @pydantic.field_validator("leave")
    @classmethod
    def _known_rules(cls, value: dict[str, Place]) -> dict[str, Place]:
        for key in value:
            if not is_rule(key):
                raise ValueError(
                    f"{key!r} names nothing; write *, a channel, chat, background, CHANNEL:ID or "
                    "a conversation such as irc//#kitchen"
                )
        return value

    @pydantic.field_validator("owners")
    @classmethod
    def _keys(cls, value: list[str]) -> list[str]:
        for key in value:
            if not all(key.partition(":")):
                raise ValueError(f"{key!r} is no person; write CHANNEL:ID, such as tg:123456")
        return value
