# SPDX-License-Identifier: AGPL-3.0-or-later
"""All default tools together stay small: they are sent with every single question."""

import asyncio
import json

from haoya.core.tool import Prompt
from haoya.models.openai.request import encode
from haoya.tools import clock, memory, message
from haoya.tools.files import tools as files
from tests.servers.rote import tokens

SPECS = (
    clock.SPEC, files.READ, files.LIST, files.WRITE, files.SEARCH,
    memory.REMEMBER, memory.RECALL, message.SPEC,
)  # fmt: skip


def test_the_default_tools_fit_into_1900_characters() -> None:
    body = json.loads(asyncio.run(encode("m", Prompt(lines=(), tools=SPECS))))
    text = json.dumps(body["tools"], separators=(",", ":"))
    assert len(text) <= 1900
    assert tokens(text) <= 560


def test_what_changes_the_world_says_so() -> None:
    effects = {spec.name: set(spec.effects) for spec in SPECS}
    assert effects["write_file"] == effects["remember"] == {"write"}
    assert effects["message"] == {"send"}
    assert not effects["clock"]
    assert [spec.name for spec in SPECS if not spec.idempotent] == ["write_file"]
