# SPDX-License-Identifier: AGPL-3.0-or-later
"""The web: pages as Markdown, and a search engine of the owner's choice."""

from haoya.core.plugin import Plugin
from haoya.tools.web.settings import WebSettings
from haoya.tools.web.tools import lend

plugin = Plugin(
    kind="tools",
    name="web",
    settings=WebSettings,
    open=lend,
    summary="Read web pages and PDF, search the web",
    summary_zh="阅读网页和 PDF，搜索网络",
)
