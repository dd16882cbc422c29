# SPDX-License-Identifier: AGPL-3.0-or-later
"""Telegram, by its Bot API (https://core.telegram.org/bots/api), without an SDK."""

from haoya.channels.telegram.connection import connect
from haoya.channels.telegram.settings import TelegramSettings
from haoya.core.plugin import Plugin

plugin = Plugin(
    kind="channel",
    name="telegram",
    settings=TelegramSettings,
    open=connect,
    summary="Telegram bots",
    summary_zh="Telegram 机器人",
    silent_seconds=120,
)
