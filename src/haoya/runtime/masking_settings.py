# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[masking]`: what personal data is put away before a prompt leaves, and before which models."""

import re

import pydantic
import regex
from pydantic import Field

from haoya.core.tool import Place
from haoya.policy.masking.words import Kind
from haoya.runtime.section import Section

MOST_RULES = 64
MOST_PATTERN = 1000
"""Characters of one rule of the owner's."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,30}")


class MaskingSettings(Section):
    """`[masking]`: `places` whose models are shown placeholders, `models` that differ from their
    place (by name), kinds to `skip`, values that are `exempt`, and the owner's own `rules`, regular
    expressions by name."""

    places: list[Place] = Field(["outside"])
    models: dict[str, bool] = Field({})
    skip: list[Kind] = Field([])
    exempt: list[str] = Field([])
    rules: dict[str, str] = Field({})

    @pydantic.field_validator("rules")
    @classmethod
    def _usable(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MOST_RULES:
            raise ValueError(f"there are {len(value)} rules; at most {MOST_RULES}")
        for name, pattern in value.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a rule; letters, digits, '_' and '-'")
            if len(pattern) > MOST_PATTERN:
                raise ValueError(f"{name}: longer than {MOST_PATTERN} characters")
            try:
                compiled = regex.compile(pattern)
            except regex.error as error:
                raise ValueError(f"{name}: no regular expression: {error}") from None
            if compiled.fullmatch(""):
                raise ValueError(f"{name}: it matches nothing at all, and so everywhere")
        return value

    def applies(self, name: str, place: Place) -> bool:
        """Whether this model is shown placeholders.

        >>> MaskingSettings(models={"trusted": False}).applies("trusted", "outside")
        False
        """
        return self.models.get(name, place in self.places)
