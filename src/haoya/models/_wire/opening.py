# SPDX-License-Identifier: AGPL-3.0-or-later
"""How a model behind a wire is opened: its key looked up, nothing asked yet."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from haoya.core.plugin import Context
from haoya.models._wire.settings import WireSettings

Settings = TypeVar("Settings", bound=WireSettings)
Opened = TypeVar("Opened")


def opener(
    make: Callable[[Settings, Context, str], Opened],
) -> Callable[[Settings, Context], AbstractAsyncContextManager[Opened]]:
    """The `open` of a plugin whose model is made of settings, context and the key (empty for
    none); the server is first spoken to when a question is asked.

    Opening raises `ConfigError` where the key cannot be resolved.
    """

    @asynccontextmanager
    async def connect(settings: Settings, context: Context) -> AsyncGenerator[Opened, None]:
        key = context.secret(settings.api_key) if settings.api_key else ""
        yield make(settings, context, key)

    return connect
