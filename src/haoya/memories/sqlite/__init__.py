# SPDX-License-Identifier: AGPL-3.0-or-later
"""Memos in one SQLite file, found again by their words in any script."""

from haoya.core.plugin import Plugin
from haoya.memories.sqlite.store import SqliteSettings, connect

plugin = Plugin(
    kind="memory",
    name="sqlite",
    settings=SqliteSettings,
    open=connect,
    summary="Long-term memory in a file, with word search",
    summary_zh="长期记忆，存放在一个文件里，可按字词搜索",
)
