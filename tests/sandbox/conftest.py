# SPDX-License-Identifier: AGPL-3.0-or-later
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from haoya.core.errors import Unready
from haoya.core.sandbox import Level
from haoya.sandbox.room import Room, open_sandbox

Open = Callable[[], AbstractAsyncContextManager[Room]]


@pytest.fixture(params=["namespaces", "landlock"])
def level(request: pytest.FixtureRequest) -> Level:
    return request.param


@pytest.fixture
def opened(level: Level) -> Open:
    """Opens the sandbox at one level; the test is skipped where this machine lacks it."""

    @asynccontextmanager
    async def enter() -> AsyncIterator[Room]:
        try:
            opening = open_sandbox((level,))
            room = await opening.__aenter__()
        except Unready as error:
            pytest.skip(f"this machine has no sandbox of this level: {error}")
        try:
            yield room
        finally:
            await opening.__aexit__(None, None, None)

    return enter
