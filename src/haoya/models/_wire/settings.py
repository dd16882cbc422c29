# SPDX-License-Identifier: AGPL-3.0-or-later
"""The settings that every wire to a model server has."""

import httpx2
import pydantic

from haoya.models._wire.quirks import PROVIDERS


class WireSettings(pydantic.BaseModel):
    """A model behind a server."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    base_url: str = pydantic.Field(description="Address of the API, usually ending in /v1")
    model: str = pydantic.Field(min_length=1, description="What the server calls the model")
    api_key: str = pydantic.Field(default="", description="The key: secret:NAME, env:NAME or plain")
    context_tokens: int = pydantic.Field(
        default=8192, ge=256, description="Tokens that prompt and answer may have together"
    )
    max_tokens: int | None = pydantic.Field(
        default=None, ge=1, description="Most tokens of an answer"
    )
    temperature: float | None = pydantic.Field(
        default=None, ge=0, le=2, description="How freely it chooses words; – for the server's own"
    )
    first_seconds: float = pydantic.Field(default=120, gt=0, description="Wait for the first token")
    idle_seconds: float = pydantic.Field(default=60, gt=0, description="Wait between two tokens")
    vision: bool = pydantic.Field(default=False, description="Whether the model sees pictures")
    provider: str = pydantic.Field(
        default="",
        description="Whose server it is, where the address does not tell: "
        f"{', '.join(PROVIDERS)}; plain for none of them",
    )

    @pydantic.field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            url = httpx2.URL(value)
        except httpx2.InvalidURL:
            url = httpx2.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("not a web address; write e.g. http://127.0.0.1:8081/v1")
        if url.userinfo:
            raise ValueError("a password in the address would be shown; write api_key")
        return value.rstrip("/")

    @pydantic.field_validator("provider")
    @classmethod
    def _a_provider(cls, value: str) -> str:
        if value and value != "plain" and value not in PROVIDERS:
            raise ValueError(f"unknown; there are: {', '.join(PROVIDERS)}, plain")
        return value
