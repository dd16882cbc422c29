# SPDX-License-Identifier: AGPL-3.0-or-later
"""Internet Relay Chat: RFC 2812 with message tags, SASL and TLS, on nothing but asyncio."""

from haoya.channels.irc.connection import connect
from haoya.channels.irc.settings import IrcSettings
from haoya.core.plugin import Plugin

plugin = Plugin(
    kind="channel",
    name="irc",
    settings=IrcSettings,
    open=connect,
    summary="Internet Relay Chat",
    summary_zh="IRC 聊天",
    silent_seconds=600,
)
