# SPDX-License-Identifier: AGPL-3.0-or-later
"""The official clients, pointed at a daemon of ours."""

import anthropic
import openai

from tests.api.daemon import SECONDS, Daemon

SETTINGS = """
[agent]
tools = ["clock"]
model = "main"

[models.toy]
use = "script"
rules = [
    { match = "weather in (.+)", say = "Looking.", think = "They ask about {1}.", calls = [
        { name = "weather", arguments = { city = "{1}" } },
    ], after = "It is {results}." },
    { match = "both", calls = [
        { name = "weather", arguments = { city = "Rome" } },
        { name = "weather", arguments = { city = "Oslo" } },
    ], after = "{results}" },
    { match = "wonder", think = "Hm, let me see.", say = "Forty-two." },
]

[models.slow]
use = "script"
delay = 0.05

[models.gone]
use = "openai"
base_url = "http://127.0.0.1:9/v1"
model = "nobody"
"""

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


def by_openai(daemon: Daemon, key: str = "") -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{daemon.url}/v1", api_key=key or daemon.token, max_retries=0, timeout=SECONDS
    )


def by_anthropic(daemon: Daemon, key: str = "") -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=daemon.url, api_key=key or daemon.token, max_retries=0, timeout=SECONDS
    )
