# SPDX-License-Identifier: AGPL-3.0-or-later
"""How providers differ from the wire they say they speak, as one table.

A row applies where the address or the setting `provider` names the provider, and the model begins
with one of the row's beginnings; the first row that fits is taken. Nothing else in a wire asks who
the server is. Sources: the providers' own API references.
"""

from typing import Literal

import msgspec

ALL = frozenset({"temperature", "top_p", "seed", "max_tokens", "stop"})
_UNSEEDED = ALL - {"seed"}
_FIXED = frozenset({"max_tokens"})


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider does its own way; the defaults are the plain wire.

    `takes` are the fields of `Sampling` it accepts, `limit` and `seed` its names for two of them,
    `counts` whether it may be asked for the usage of a stream. `forced` is its `tool_choice` for
    "call any tool" (`auto` where it has none). `schema` is how it is held to a JSON Schema. It may
    insist on lines that alternate (`alternates`) and on call ids of `id_length` letters and digits.
    `thoughts_back` is the field in which it wants its thoughts again within a tool loop.
    `cache` is its hint for the prompt cache: a `key` of the conversation's, or `marks` on lines.
    `encrypts` says that it hands out encrypted thoughts (the Responses API).
    `key_header` is where the key stands if not in `Authorization`. `batch` is how many texts it
    embeds at a time. `thinks` is how thinking is asked for on Anthropic's wire.
    """

    takes: frozenset[str] = ALL
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: Literal["seed", "random_seed"] = "seed"
    counts: bool = True
    forced: Literal["required", "any", "auto"] = "required"
    schema: Literal["format", "object", "tool"] = "format"
    alternates: bool = False
    id_length: int = 0
    thoughts_back: Literal["", "reasoning_content", "reasoning"] = ""
    cache: Literal["", "key", "marks"] = ""
    encrypts: bool = False
    key_header: str = ""
    batch: int = 256
    thinks: Literal["adaptive", "budget"] = "budget"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    provider: str
    hosts: tuple[str, ...]
    models: tuple[str, ...] = ("",)
    quirks: Quirks


_OPENAI = ("api.openai.com",)
_AZURE = ("openai.azure.com", "services.ai.azure.com")
_OFFICIAL = Quirks(limit="max_completion_tokens", cache="key")
_THINKING = msgspec.structs.replace(_OFFICIAL, takes=_FIXED, encrypts=True)
_REASONING = ("o1", "o3", "o4", "gpt-5", "gpt-6", "codex-")
_ANTHROPIC = ("api.anthropic.com",)
_BUDGETED = ("opus-4-0", "opus-4-1", "opus-4-2", "opus-4-5", "sonnet-4-0", "sonnet-4-2",
             "sonnet-4-5", "haiku-4")  # fmt: skip
_OPENROUTER = ("openrouter.ai",)

TABLE: tuple[Row, ...] = (
    Row(provider="openai", hosts=_OPENAI, models=("gpt-5-chat",), quirks=_OFFICIAL),
    Row(provider="openai", hosts=_OPENAI, models=_REASONING, quirks=_THINKING),
    Row(provider="openai", hosts=_OPENAI, quirks=_OFFICIAL),
    Row(
        provider="azure",
        hosts=_AZURE,
        models=_REASONING,
        quirks=msgspec.structs.replace(_THINKING, key_header="api-key"),
    ),
    Row(
        provider="azure",
        hosts=_AZURE,
        quirks=msgspec.structs.replace(_OFFICIAL, key_header="api-key"),
    ),
    # Claude before structured outputs; then those with a thinking budget; the newest take neither
    # a budget nor a temperature.
    Row(
        provider="anthropic",
        hosts=_ANTHROPIC,
        models=("claude-3", "claude-2"),
        quirks=Quirks(takes=_UNSEEDED, schema="tool"),
    ),
    Row(
        provider="anthropic",
        hosts=_ANTHROPIC,
        models=tuple(f"claude-{name}" for name in _BUDGETED),
        quirks=Quirks(takes=_UNSEEDED),
    ),
    Row(
        provider="anthropic",
        hosts=_ANTHROPIC,
        models=("claude-opus-4-6", "claude-sonnet-4-6"),
        quirks=Quirks(takes=_UNSEEDED, thinks="adaptive"),
    ),
    Row(
        provider="anthropic",
        hosts=_ANTHROPIC,
        quirks=Quirks(takes=frozenset({"max_tokens", "stop"}), thinks="adaptive"),
    ),
    Row(
        provider="deepseek",
        hosts=("api.deepseek.com",),
        quirks=Quirks(schema="object", takes=_UNSEEDED, thoughts_back="reasoning_content"),
    ),
    Row(
        provider="mistral",
        hosts=("api.mistral.ai",),
        quirks=Quirks(seed="random_seed", counts=False, forced="any", id_length=9),
    ),
    Row(
        provider="moonshot",
        hosts=("api.moonshot.cn", "api.moonshot.ai"),
        quirks=Quirks(takes=_UNSEEDED, forced="auto", thoughts_back="reasoning_content"),
    ),
    Row(
        provider="zhipu",
        hosts=("open.bigmodel.cn", "api.z.ai"),
        quirks=Quirks(
            takes=_UNSEEDED, forced="auto", schema="object", thoughts_back="reasoning_content"
        ),
    ),
    Row(
        provider="dashscope",
        hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"),
        quirks=Quirks(forced="auto", batch=10),
    ),
    Row(
        provider="gemini",
        hosts=("generativelanguage.googleapis.com",),
        quirks=Quirks(takes=_UNSEEDED, batch=100),
    ),
    Row(
        provider="openrouter",
        hosts=_OPENROUTER,
        models=("anthropic/",),
        quirks=Quirks(cache="marks"),
    ),
    Row(provider="openrouter", hosts=_OPENROUTER, quirks=Quirks()),
    Row(
        provider="perplexity",
        hosts=("api.perplexity.ai",),
        quirks=Quirks(alternates=True, takes=_UNSEEDED - {"stop"}),
    ),
    Row(
        provider="xai",
        hosts=("api.x.ai",),
        models=("grok-3-mini", "grok-4"),
        quirks=Quirks(takes=ALL - {"stop"}),
    ),
    Row(provider="xai", hosts=("api.x.ai",), quirks=Quirks()),
    Row(
        provider="siliconflow",
        hosts=("api.siliconflow.cn", "api.siliconflow.com"),
        quirks=Quirks(schema="object", takes=_UNSEEDED, batch=32),
    ),
    # Chat templates that raise where two lines of one role follow each other.
    Row(provider="alternating", hosts=(), quirks=Quirks(alternates=True)),
)

PROVIDERS: tuple[str, ...] = tuple(dict.fromkeys(row.provider for row in TABLE))
"""What the setting `provider` may name."""


def quirks_of(provider: str, host: str, model: str, otherwise: Quirks | None = None) -> Quirks:
    """The row for a server and a model, `otherwise` (the plain wire) where none fits.

    >>> quirks_of("", "api.openai.com", "o3-mini").limit
    'max_completion_tokens'
    >>> quirks_of("mistral", "127.0.0.1", "small").id_length
    9
    """
    for row in TABLE:
        named = row.provider == provider if provider else _at(host, row.hosts)
        if named and model.startswith(row.models):
            return row.quirks
    return otherwise or Quirks()


def _at(host: str, hosts: tuple[str, ...]) -> bool:
    return any(host == known or host.endswith(f".{known}") for known in hosts)
