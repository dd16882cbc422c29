# SPDX-License-Identifier: AGPL-3.0-or-later
"""A whole daemon with planted secrets: none of them stands in any file, log, answer or environment
of it or of its children."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import httpx2
import pytest

from haoya.runtime import vault
from tests.runtime.daemon import TOKEN, World, stage
from tests.runtime.waiting import run, until

KEY = "sk-planted-0123456789abcdef"
GIVEN = "given-by-environment-0987654321"
BY_HAND = "planted-by-hand-5555"
PLANTED = (KEY, GIVEN, BY_HAND, TOKEN)


def keyed(world: World) -> str:
    return world.settings().replace(
        'model = "stand-in"', f'model = "stand-in"\napi_key = "{KEY}"  # by the console'
    ) + (
        '\n[channels.other]\nuse = "telegram"\ntoken = "env:HAOYA_PLANTED"\n'
        f'api_root = "{world.telegram.url}"\n'
        '[models.spare]\nuse = "openai"\nmodel = "m"\napi_key = "secret:by-hand"\n'
        f'base_url = "{world.thinker.url}/v1"\n'
    )


def found(files: Iterable[Path]) -> list[tuple[str, str]]:
    """Every (file, planted value) there is."""
    return [
        (path.name, value)
        for path in files
        if path.is_file()
        for value in PLANTED
        if value.encode() in path.read_bytes()
    ]


def environments(pid: int) -> dict[int, bytes]:
    """The environment of a process and all that descend from it, as the kernel shows it."""
    family = {pid}
    for _ in range(3):
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except (OSError, ProcessLookupError):
                continue
            if parent in family:
                family.add(int(stat.parent.name))
    shown: dict[int, bytes] = {}
    for one in family:
        try:
            shown[one] = Path(f"/proc/{one}/environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return shown


def test_no_planted_secret_stands_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, secrets.toml and the environment hold some; a server quotes one back, a person
    writes one in a chat, an error is about one. Only the vault's key could tell them afterwards."""
    monkeypatch.setenv("HAOYA_PLANTED", GIVEN)

    async def body(world: World) -> None:
        daemon = world.daemon
        daemon.write(keyed(world))
        (daemon.home / "secrets.toml").write_text(f'by-hand = "{BY_HAND}"\n')
        await daemon.start()
        await daemon.becomes("tg", "open")
        said = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})
        await world.thinker.control(fail={"status": 400, "times": 3, "body": said})
        await world.telegram.say("ann", "hello")
        await until(world.telegram.texts)
        assert KEY not in await daemon.ask("what does that mean?")
        answer = await daemon.ask(f"my key is {KEY} and mine is {BY_HAND}")
        assert KEY not in answer and BY_HAND not in answer
        assert daemon.process
        await _check_windows(world)
        for pid, shown in environments(daemon.process.pid).items():
            assert not [value for value in PLANTED if value.encode() in shown], pid
        status, printed = await daemon.cli("backup", "create", str(tmp_path / "copy"))
        assert status == 0, printed
        everything = [*daemon.home.rglob("*"), daemon.log]
        assert found(everything) == []
        await daemon.stop()
        assert found([*daemon.home.rglob("*"), daemon.log]) == []
        held = vault.values(daemon.home)
        assert {v.text for v in held.values()} == {KEY, BY_HAND, TOKEN}
        assert held["main-api-key"].origins == (world.thinker.url,)
        assert held["by-hand"].origins == (world.thinker.url,)

    _staged(tmp_path, body)


async def _check_windows(world: World) -> None:
    """All that the daemon says about itself, by every way it is asked."""
    daemon = world.daemon
    shown = [
        json.dumps(await daemon.call(verb))
        for verb in ("status", "doctor", "runs_list", "channels_list", "queue")
    ]
    url = (await daemon.call("status"))["api"]["url"]
    token = (daemon.home / "state" / "api-token").read_text().strip()
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        for path in ("/metrics", "/readyz", "/healthz"):
            shown.append((await http.get(f"{url}{path}")).text)
    for arguments in (("doctor",), ("status", "--json"), ("secrets", "list"), ("config", "check")):
        shown.append((await daemon.cli(*arguments))[1])
    for text in shown:
        assert not [value for value in PLANTED if value in text], text[:2000]
    assert "main-api-key" in shown[-2]


def test_a_changed_secret_reopens_the_parts_that_name_it_and_no_others(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        daemon = world.daemon
        await world.start()
        await _set(world, "tg-token", "1001:wrong")
        await daemon.becomes("tg", "parked")
        await _set(world, "tg-token", TOKEN)
        await daemon.becomes("tg", "open")
        told = daemon.log.read_text("utf-8")
        opened = {n: told.count(f"{n} is open") for n in ("channels.tg", "models.main")}
        assert opened == {"channels.tg": 2, "models.main": 1}
        await world.telegram.say("ann", "hello again")
        await world.telegram.hears("hello again")

    _staged(tmp_path, body)


def test_a_secret_does_not_follow_its_section_to_another_place(tmp_path: Path) -> None:
    """Whoever could point a section elsewhere would have its key sent there."""

    async def body(world: World) -> None:
        daemon = world.daemon
        await world.start(agent="", policy="")
        text = (daemon.home / "settings.toml").read_text()
        assert "secret:tg-token" in text
        moved = text.replace(world.telegram.url, "http://127.0.0.1:9")
        daemon.write(moved)
        parked = await daemon.becomes("tg", "parked")
        assert f"may go to {world.telegram.url}" in parked["reason"]
        assert "haoya secrets bind tg-token" in parked["reason"]
        daemon.write(text)
        await daemon.becomes("tg", "open")
        daemon.write(moved)
        await daemon.becomes("tg", "parked")
        assert (await daemon.cli("secrets", "bind", "tg-token"))[0] == 0
        waiting = await daemon.becomes("tg", "waiting")  # it tries the new place
        assert "may go" not in waiting["reason"]
        assert vault.values(daemon.home)["tg-token"].origins == ("http://127.0.0.1:9",)

    _staged(tmp_path, body)


def test_a_shut_vault_parks_what_needs_it_and_the_rest_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(world: World) -> None:
        daemon = world.daemon
        await world.start()
        await daemon.stop()
        vault.rotate(daemon.home, source="passphrase", new_phrase="five words far apart")
        await daemon.start()
        parked = await daemon.becomes("tg", "parked")
        assert "nobody is there to type it" in parked["reason"]
        findings = {f["id"]: f for f in (await daemon.call("status"))["findings"]}
        assert "HAOYA_PASSPHRASE_FILE" in findings["vault-locked"]["cure"]
        assert "heard" in await daemon.ask("are you there?")
        await daemon.stop()
        laid_out = tmp_path / "phrase"
        laid_out.write_text("five words far apart\n")
        monkeypatch.setenv("HAOYA_PASSPHRASE_FILE", str(laid_out))
        await daemon.start()
        await daemon.becomes("tg", "open")

    _staged(tmp_path, body)


def test_a_tampered_vault_is_told_and_a_mended_one_is_taken_up(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        daemon = world.daemon
        await world.start()
        good = (daemon.home / "vault").read_bytes()
        (daemon.home / "vault").write_bytes(good[: len(good) // 2])

        async def told() -> bool:
            findings = (await daemon.call("status"))["findings"]
            return any(f["id"] == "vault-locked" and "cut short" in f["message"] for f in findings)

        async def mended() -> bool:
            return not await told()

        await until(told)
        assert (await daemon.part("tg"))["state"] == "open", "what is open stays open"
        (daemon.home / "vault").write_bytes(good)
        await until(mended)

    _staged(tmp_path, body)


async def _set(world: World, name: str, value: str) -> None:
    await asyncio.to_thread(vault.put, world.daemon.home, {name: value})


def _staged(folder: Path, body: Callable[[World], Awaitable[None]]) -> None:
    async def staged() -> None:
        async with stage(folder) as world:
            await body(world)

    run(staged)
