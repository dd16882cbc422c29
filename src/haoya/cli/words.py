# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the command line says, in the language of whoever reads it."""

import functools
import json
import os
from pathlib import Path
from typing import Literal

Language = Literal["en", "zh"]

_FOLDER = Path(__file__).parent / "locale"


def say(key: str, **values: object) -> str:
    """The sentence `key` of the catalogue, its placeholders filled in."""
    sentence = catalogue(language())[key]
    return sentence.format(**values) if values else sentence


def language() -> Language:
    """The language of the locale: the first that is set of HAOYA_LANG, LC_ALL, LC_MESSAGES and
    LANG decides, as in POSIX (XBD 8.2)."""
    for name in ("HAOYA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if chosen := os.environ.get(name):
            return "zh" if chosen.lower().startswith("zh") else "en"
    return "en"


@functools.cache
def catalogue(language: Language) -> dict[str, str]:
    """All sentences of one language by key."""
    return json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))
