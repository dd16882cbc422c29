# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner may write about reading the web."""

from typing import Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class WebSettings(BaseModel):
    """`[tools.web]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_url: str = Field(
        default="",
        description="Where to search, such as http://127.0.0.1:8888; without it there is no search",
    )
    search_engine: Literal["searxng", "brave"] = Field(
        default="searxng", description="What answers there: searxng, or brave for Brave's API"
    )
    search_key: str = Field(default="", description="The engine's key, best as secret:NAME")
    language: str = Field(default="", description="Language of what is found, such as zh or en")
    max_mib: float = Field(default=8, gt=0, le=64, description="Most that is fetched of a page")
    seconds: float = Field(default=30, gt=0, le=300, description="Longest that fetching may take")
    page_chars: int = Field(
        default=12000, ge=500, le=200_000, description="Signs of a page given at a time"
    )

    @field_validator("search_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            url = httpx2.URL(value)
        except httpx2.InvalidURL:
            url = httpx2.URL("x:")
        if value and (url.scheme not in ("http", "https") or not url.host or url.userinfo):
            raise ValueError("not a web address; write e.g. http://127.0.0.1:8888")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _a_key_where_one_is_needed(self) -> "WebSettings":
        if self.search_engine == "brave" and not self.search_key:
            raise ValueError('Brave wants a key; write search_key = "secret:NAME"')
        return self
