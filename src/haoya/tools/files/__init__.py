# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files of the agent's workspace: read, list, write, search; nothing outside is reachable."""

from haoya.core.plugin import Plugin
from haoya.tools.files.tools import FilesSettings, lend

plugin = Plugin(
    kind="tools",
    name="files",
    settings=FilesSettings,
    open=lend,
    summary="Read, write and search files in the workspace",
    summary_zh="读写、搜索工作区里的文件",
)
