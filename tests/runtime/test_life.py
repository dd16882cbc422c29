# SPDX-License-Identifier: AGPL-3.0-or-later
"""The daemon's life: start, stop, a second one, backups, settings that change while it runs."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from haoya.core.place import socket_path
from tests.runtime.daemon import World, stage
from tests.runtime.nasty import FILES
from tests.runtime.waiting import run, until

STOP_SECONDS = 5.0


def toy(name: str = "main", **more: object) -> str:
    """A model that needs no server."""
    settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
    return f'[models.{name}]\nuse = "script"\n{settings}'


def with_toy(
    tmp_path: Path, body: Callable[[World], Awaitable[None]], *, telegram: bool = False
) -> None:
    async def staged() -> None:
        async with stage(tmp_path, telegram=telegram, model=False) as world:
            await body(world)

    run(staged)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_and_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    async def body(world: World) -> None:
        await world.start(toy(), telegram=True, model=False)
        await world.telegram.say("ann", "hello")
        await world.telegram.hears("hello")
        assert world.daemon.process
        world.daemon.process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            assert await world.daemon.process.wait() == 0, world.daemon.words()
        assert not socket_path(world.daemon.home).exists()
        assert "Traceback" not in world.daemon.words()
        assert not list(world.daemon.home.glob("*-wal"))

    with_toy(tmp_path, body, telegram=True)


def test_it_stops_at_once_in_the_middle_of_a_turn(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            await world.thinker.control(hang=60)
            await world.telegram.say("ann", "hello")
            await until(world.thinker.asked)
            assert await world.daemon.stop() < STOP_SECONDS
            assert "Traceback" not in world.daemon.words()
            await world.daemon.start()
            await world.telegram.hears("heard: hello")

    run(body)


def test_down_stops_it_and_says_so(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.start(toy(), telegram=False, model=False)
        assert (await world.daemon.cli("down"))[0] == 0
        assert world.daemon.process
        async with asyncio.timeout(STOP_SECONDS):
            assert await world.daemon.process.wait() == 0
        status, output = await world.daemon.cli("status")
        assert status == 3 and "haoya up" in output

    with_toy(tmp_path, body)


def test_a_second_one_in_the_same_home_says_so_and_leaves_the_first_alone(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.start(toy(), telegram=False, model=False)
        status, output = await world.daemon.cli("up", "--port", "0")
        assert status == 1
        assert world.daemon.process
        assert "already runs" in output and str(world.daemon.process.pid) in output
        assert await world.daemon.ask("still there?")

    with_toy(tmp_path, body)


def test_a_killed_one_does_not_keep_the_next_from_starting(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.start(toy(), telegram=False, model=False)
        for _ in range(3):
            await world.daemon.kill()
            assert socket_path(world.daemon.home).exists()
            await world.daemon.start()
        assert await world.daemon.ask("hello")

    with_toy(tmp_path, body)


def test_a_backup_made_while_it_runs_is_whole_and_comes_back(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        daemon = world.daemon
        await world.start(toy(), telegram=False, model=False)
        await daemon.ask("remember this: bergamot")
        talking = asyncio.create_task(_keep_talking(world))
        file = tmp_path / "haoya.backup"
        status, output = await daemon.cli("backup", "create", str(file))
        talking.cancel()
        await asyncio.wait([talking])
        assert status == 0, output
        assert file.stat().st_mode & 0o077 == 0, "a backup holds secrets"
        assert (await daemon.cli("backup", "verify", str(file)))[0] == 0

        status, output = await daemon.cli("backup", "restore", str(file), "--force")
        assert status == 1 and "haoya down" in output, "not under a running daemon"
        await daemon.stop()
        (daemon.home / "journal.db").write_bytes(b"not a journal")
        status, output = await daemon.cli("backup", "restore", str(file))
        assert status == 1, "what is there is not overwritten without a word"
        status, output = await daemon.cli("backup", "restore", str(file), "--force")
        assert status == 0, output
        await daemon.start()
        assert (await daemon.call("doctor"))["findings"] is not None
        assert not [f for f in (await daemon.call("doctor"))["findings"] if "journal" in f["id"]]
        assert "bergamot" in str(await daemon.call("runs_list", limit=1000))

    with_toy(tmp_path, body)


async def _keep_talking(world: World) -> None:
    for number in range(10_000):
        await world.daemon.ask(f"message {number}", room="busy")


def test_one_channel_changes_and_the_others_never_notice(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        dead = (
            '[channels.irc]\nuse = "irc"\nhost = "127.0.0.1"\nport = 1\ntls = false\nnick = "{}"\n'
        )
        await world.start(toy(), dead.format("one"), model=False)
        since = (await world.daemon.part("tg"))["since"]
        polls = (await world.telegram.control("stats"))["calls"]["getMe"]
        world.daemon.write(world.settings(toy(), dead.format("two"), model=False))
        await world.daemon.call("reload")
        world.daemon.write(world.settings(toy(), model=False))

        async def gone() -> bool:
            return (await world.daemon.part("irc"))["state"] == ""

        await until(gone, world.daemon.words)
        assert (await world.daemon.part("tg"))["since"] == since
        assert (await world.telegram.control("stats"))["calls"]["getMe"] == polls
        await world.telegram.say("ann", "hello")
        await world.telegram.hears("hello")

    with_toy(tmp_path, body, telegram=True)


def test_a_broken_edit_keeps_the_old_settings_and_shows_why(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.start(toy(), model=False)
        since = (await world.daemon.part("tg"))["since"]
        good = world.settings(toy(), model=False)

        async def told() -> list[str]:
            status = await world.daemon.call("status")
            return [f["section"] for f in status["findings"] if f["severity"] == "error"]

        world.daemon.write(good.replace('use = "telegram"', 'use = "telegram"\npoll_seconds = "x"'))
        await until(told, world.daemon.words)
        assert await told() == ["channels.tg"]
        world.daemon.write("[channels.tg\n" + good)
        await until(lambda: _is(told, ["settings.toml"]), world.daemon.words)
        assert (await world.daemon.part("tg"))["since"] == since
        await world.telegram.say("ann", "hello")
        await world.telegram.hears("hello")
        world.daemon.write(good)
        await until(lambda: _is(told, []), world.daemon.words)
        assert (await world.daemon.part("tg"))["since"] == since

    with_toy(tmp_path, body, telegram=True)


async def _health(world: World) -> int:
    url = (await world.daemon.call("status"))["api"]["url"]
    return (await world.http.get(f"{url}/healthz")).status_code if url else 0


async def _is(asked: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await asked() == wanted


def test_a_restart_with_broken_settings_runs_on_the_last_good_ones(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.start(toy(), model=False)
        await world.daemon.stop()
        world.daemon.write("[[[")
        await world.daemon.start()
        await world.daemon.becomes("tg", "open")
        status, output = await world.daemon.cli("doctor", "--strict")
        assert status == 5 and "not valid TOML" in output and "last good" in output
        assert (await world.daemon.cli("config", "check"))[0] == 5

    with_toy(tmp_path, body, telegram=True)


def test_a_new_secret_opens_a_parked_channel(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        settings = world.settings(toy(), model=False).replace('"1001:first"', '"secret:tg"')
        world.daemon.write(settings)
        await world.daemon.start()
        parked = await world.daemon.becomes("tg", "parked")
        assert "haoya secrets set tg" in parked["reason"]
        (world.daemon.home / "secrets.toml").write_text('tg = "1001:first"\n')
        await world.daemon.becomes("tg", "open")

    with_toy(tmp_path, body, telegram=True)


def test_a_wrong_token_parks_with_the_networks_words_and_the_house_lives_on(
    tmp_path: Path,
) -> None:
    async def body(world: World) -> None:
        settings = world.settings(toy(), model=False).replace("1001:first", "9999:wrong")
        world.daemon.write(settings)
        await world.daemon.start()
        parked = await world.daemon.becomes("tg", "parked")
        assert "Unauthorized" in parked["reason"]
        assert await world.daemon.ask("are you there?")
        status = await world.daemon.call("status")
        assert status["state"] == "degraded"

    with_toy(tmp_path, body, telegram=True)


@pytest.mark.parametrize("group", range(3))
def test_it_starts_with_any_settings_file(tmp_path: Path, group: int) -> None:
    """And while it runs it takes any of them, and the door stays open."""

    async def body(world: World) -> None:
        daemon = world.daemon
        daemon.home.mkdir(mode=0o700)
        for turn, name in enumerate(sorted(FILES)[group::3]):
            (daemon.home / "state" / "settings.last-good.toml").unlink(missing_ok=True)
            (daemon.home / "settings.toml").write_bytes(FILES[name])
            if turn < 2 or not daemon.alive:
                await daemon.kill()
                await daemon.start()
            else:
                await daemon.call("reload")
            status = await daemon.call("status")
            assert status["storage"]["state"] == "open", name
            for finding in status["findings"]:
                assert finding["section"] and finding["message"] and finding["cure"], name
            assert await daemon.ask("hello", room=f"r{turn}"), name
            assert "Traceback" not in daemon.words(), (name, daemon.words())
            if name != "missing secrets":  # its window is parked for want of a token
                health = await until(lambda: _health(world))
                assert health == 200

    with_toy(tmp_path, body)
