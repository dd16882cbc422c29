# SPDX-License-Identifier: AGPL-3.0-or-later
"""Remembering what a person asked to be remembered, and finding it again."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic

from haoya.core.label import Label, joined
from haoya.core.plugin import Context, Plugin
from haoya.core.ports import Memo, Tool
from haoya.core.schema import schema_of
from haoya.core.tool import Scene, ToolResult, ToolSpec

FORGOTTEN = Label(author="untrusted", sources=frozenset({"nobody knows what"}))
"""Of a memo from before memos had labels."""

MAX_CHARACTERS = 2000
"""A memo is a fact, not a document; all five that are recalled must fit into a small prompt."""


class MemorySettings(pydantic.BaseModel):
    """Nothing to choose."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Remember(msgspec.Struct):
    """A fact in the model's words."""

    text: str


class Recall(msgspec.Struct):
    """Words to look for."""

    query: str


REMEMBER = ToolSpec(
    name="remember",
    purpose="Keep a fact about the user for later.",
    schema=schema_of(Remember),
    effects=frozenset({"write"}),
    writes=frozenset({"memory"}),
    idempotent=True,
    undo="forget it",
    author="owner",
)
RECALL = ToolSpec(
    name="recall",
    purpose="Search facts kept earlier.",
    schema=schema_of(Recall),
    effects=frozenset({"read"}),
    reads=frozenset({"memory"}),
    idempotent=True,
    author="owner",
    private=True,
)


@asynccontextmanager
async def _open(
    settings: MemorySettings, context: Context
) -> AsyncGenerator[tuple[Tool[Any], ...], None]:
    memory = context.memory
    if memory is None:  # a house without a memory offers none to the model
        yield ()
        return

    async def remember(asked: Remember, scene: Scene) -> ToolResult:
        text = asked.text.strip()
        if not text or len(text) > MAX_CHARACTERS:
            words = f"a fact has 1 to {MAX_CHARACTERS} characters, not {len(text)}; say it shorter"
            return ToolResult(text=words, ok=False)
        memo = Memo(
            id=scene.key,
            person=scene.person,
            text=text,
            at=context.clock(),
            source=scene.key,
            label=scene.label,
        )
        await memory.keep(memo)
        return ToolResult(text="kept")

    async def recall(asked: Recall, scene: Scene) -> ToolResult:
        memos = await memory.recall(scene.person, asked.query)
        if not memos:
            return ToolResult(text="nothing kept matches; other words may find more")
        label = joined(memo.label or FORGOTTEN for memo in memos)
        return ToolResult(text="\n".join(map(_shown, memos)), label=label)

    yield (
        Tool(spec=REMEMBER, arguments=Remember, run=remember),
        Tool(spec=RECALL, arguments=Recall, run=recall),
    )


def _shown(memo: Memo) -> str:
    """A memo as the model reads it. What was kept after strangers' words had been read may be
    theirs: it comes back as something to know, marked, and decides nothing."""
    day = datetime.fromtimestamp(memo.at, UTC).date().isoformat()
    label = memo.label or FORGOTTEN
    read = ", ".join(sorted(label.sources - {memo.person})) or "others' words"
    mark = f" [unsure, kept after reading {read}]" if label.author == "untrusted" else ""
    return f"{day}{mark}: {memo.text}"


plugin = Plugin(
    kind="tools",
    name="memory",
    settings=MemorySettings,
    open=_open,
    summary="Remember facts and recall them",
    summary_zh="记住事情，需要时想起来",
)
