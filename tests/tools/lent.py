# SPDX-License-Identifier: AGPL-3.0-or-later
"""Running a tool as the agent does: arguments are the JSON text a model wrote."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from haoya.core.message import Address
from haoya.core.plugin import Plugin
from haoya.core.ports import Tool
from haoya.core.tool import Scene, ToolResult
from tests.models.lent import context

HERE = Address(channel="tg", room="7")


def scene(call: str = "c1", person: str = "ann") -> Scene:
    return Scene(address=HERE, person=person, turn=3, call=call)


class Box:
    """Open tools by name."""

    def __init__(self, tools: tuple[Tool[Any], ...]) -> None:
        self.tools = {tool.spec.name: tool for tool in tools}

    async def run(self, name: str, at: Scene | None = None, **arguments: Any) -> ToolResult:
        tool = self.tools[name]
        given = msgspec.json.decode(msgspec.json.encode(arguments), type=tool.arguments)
        async with asyncio.timeout(30):
            return await tool.run(given, at or scene())


@asynccontextmanager
async def box(
    plugin: Plugin[Any, Any], folder: Path, settings: dict[str, Any] | None = None, **lent: Any
) -> AsyncGenerator[Box, None]:
    given = plugin.settings.model_validate(settings or {})
    async with context(folder, **lent) as ground, plugin.open(given, ground) as tools:
        yield Box(tools)
