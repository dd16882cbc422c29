# SPDX-License-Identifier: AGPL-3.0-or-later
"""A running house whose settings are edited as an owner edits them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from haoya.runtime.home import Home
from haoya.runtime.house import House
from tests.runtime.waiting import run, until

SCRIPT = '[models.main]\nuse = "script"\n'


def housed(tmp_path: Path, text: str, body: Callable[[House], Awaitable[None]]) -> None:
    async def living() -> None:
        home = Home(folder=tmp_path / "home")
        home.folder.mkdir(mode=0o700)
        home.settings.write_text(text)
        house = House(home, port=0)
        life = asyncio.create_task(house.run())
        try:
            await until(house.ready.is_set, house.board.all_findings)
            await body(house)
        finally:
            life.cancel()
            await asyncio.wait([life])

    run(living)


def test_an_edit_opens_what_is_new_and_closes_what_is_gone(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await until(lambda: list(house.models) == ["main"])
        house.home.settings.write_text(SCRIPT.replace("main", "other"))
        await until(lambda: list(house.models) == ["other"])

    housed(tmp_path, SCRIPT, body)


def test_a_file_put_in_the_place_of_the_old_one_is_read(tmp_path: Path) -> None:
    """As most editors save."""

    async def body(house: House) -> None:
        fresh = house.home.folder / "settings.toml~"
        fresh.write_text(SCRIPT)
        fresh.replace(house.home.settings)
        await until(lambda: list(house.models) == ["main"])
        house.home.settings.unlink()
        await until(lambda: not house.models)

    housed(tmp_path, "", body)


def test_a_secret_that_comes_later_opens_what_lacked_it(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await until(lambda: house.board.part("models.main").state == "parked")
        house.home.secrets.write_text('key = "sk-1"\n')
        await until(lambda: list(house.models) == ["main"])

    keyed = '[models.main]\nuse = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    housed(tmp_path, f'{keyed}api_key = "secret:key"\n', body)
