# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner may write about a Telegram account."""

from pydantic import BaseModel, ConfigDict, Field


class TelegramSettings(BaseModel):
    """One bot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str = Field(description="the bot's token from @BotFather, best as secret:NAME")
    api_root: str = Field(
        "https://api.telegram.org",
        pattern=r"^https?://[^/\s]+",
        description="where the Bot API answers; change it for a server of your own",
    )
    poll_seconds: int = Field(
        50, ge=1, le=50, description="how long Telegram holds a request while nothing happens"
    )
    stream: bool = Field(True, description="show answers while they grow, by editing them")
