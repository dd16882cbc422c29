# SPDX-License-Identifier: AGPL-3.0-or-later
"""Personal data does not reach a model that thinks elsewhere, and comes back in what it says: the
real daemon, a model server that records what it was sent."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from haoya.runtime.masking import key_in
from haoya.runtime.masking_settings import MaskingSettings
from tests.runtime.daemon import Daemon, World, stage
from tests.runtime.waiting import run, until

ID = "110101198803051239"
PHONE = "138 0013 8000"
MAIL = "wang.fang@example.com"
PLANTED = (ID, PHONE, MAIL)
WORDS = f"我的身份证{ID}，电话{PHONE}，邮箱{MAIL}"


def outside(world: World, *more: str) -> str:
    """A model at the stand-in's address that thinks elsewhere, as the owner says."""
    where = f'base_url = "{world.thinker.url}/v1"\nmodel = "stand-in"\nplace = "outside"\n'
    return "\n".join([f'[models.cloud]\nuse = "openai"\n{where}', *more])


async def start(world: World, *more: str, **settings: Any) -> None:
    settings.setdefault("telegram", False)
    settings.setdefault("agent", 'model = "cloud"\n')
    await world.start(outside(world, *more), model=False, **settings)


async def sent(world: World) -> str:
    """All that the server was ever sent."""
    return json.dumps(await world.thinker.asked(), ensure_ascii=False)


def assert_kept(text: str) -> None:
    bare = re.sub(r"[ -]", "", text)
    for value in PLANTED:
        assert value.replace(" ", "") not in bare


def test_what_is_said_in_a_chat_stays_here_and_the_answer_is_whole(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await start(world, telegram=True)
            await world.thinker.control(chunk_letters=3, chunk_delay=0.01)
            await world.telegram.say("ann", WORDS)
            assert (await world.telegram.hears("heard:"))["text"] == f"heard: {WORDS}"
            await world.telegram.say("ann", f"再说一遍 {PHONE}")
            await world.telegram.hears(f"再说一遍 {PHONE}")
            shown = await sent(world)
            assert_kept(shown)
            names = re.findall(r"\[PHONE-\w{4}\]", shown)
            assert len(set(names) - {"[PHONE-7KQ2]"}) == 1 and "[ID-" in shown
            why = await world.daemon.call("why", message="last")
            told = [step["detail"] for step in why["steps"] if step["what"] == "model-answered"]
            assert "put away before it left: 1 email, 1 id, 1 phone" in told[0]
            assert "masked" not in why

    run(body)


def test_the_owner_sees_the_pairs_also_when_nothing_runs(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await start(world)
            await world.daemon.ask(WORDS)
            shown = await sent(world)
            why = await world.daemon.call("why", message="last", show_masked=True)
            pairs = {pair["placeholder"]: pair["value"] for pair in why["masked"]}
            assert set(pairs.values()) == set(PLANTED)
            assert all(name in shown for name in pairs)
            await world.daemon.stop()
            status, said = await world.daemon.cli("why", "last", "--show-masked")
            assert status == 0 and all(name in said for name in pairs) and PHONE in said
            key = world.daemon.home / "state" / "masking.key"
            assert key.stat().st_mode & 0o777 == 0o600

    run(body)


def test_placeholders_are_the_same_after_a_kill(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await start(world)
            await world.daemon.ask(f"ring {PHONE}")
            await world.daemon.kill()
            await world.daemon.start()
            await world.daemon.ask(f"again {PHONE}")
            first, second = await world.thinker.asked()
            assert second["messages"][: len(first["messages"])] == first["messages"]
            assert_kept(await sent(world))

    run(body)


def test_tools_get_the_values_and_their_results_stay_here(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await start(world)
            call = json.dumps({"path": "a.txt", "text": f"{ID}\n{MAIL}"})
            assert "done" in await world.daemon.ask(f"tool write_file {call}")
            file = world.daemon.home / "workspace" / "a.txt"
            assert file.read_text() == f"{ID}\n{MAIL}"
            file.write_text(f"my number\n{PHONE}\n")
            assert PHONE in await world.daemon.ask('tool read_file {"path": "a.txt"}')
            await world.daemon.ask("and now?")
            assert_kept(await sent(world))

    run(body)


def test_settings_say_what_is_masked_before_whom(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            rules = '[masking]\nexempt = ["138-0013-8000"]\nskip = ["email"]\n'
            rules += "[masking.rules]\nstaff = 'EMP-\\d{4}'\n"
            await start(world, rules)
            assert "EMP-0042" in await world.daemon.ask(f"EMP-0042 {WORDS}")
            shown = await sent(world)
            assert PHONE in shown and MAIL in shown and ID not in shown
            assert "EMP-0042" not in shown and "[STAFF-" in shown
            off = world.settings(
                outside(world, "[masking.models]\ncloud = false\n"),
                model=False,
                telegram=False,
                agent='model = "cloud"\n',
            )
            world.daemon.write(off)
            await world.daemon.call("reload")
            await world.daemon.ask(f"once more {ID}", room="other")
            assert ID in await sent(world)

    run(body)


def test_a_rule_without_end_keeps_the_prompt_here(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            bad = "[masking.rules]\nbad = '(?:a|a|aa)+$'\n"
            script = '[models.toy]\nuse = "script"\n'
            await start(world, bad, script, agent='model = ["cloud", "toy"]\n')
            said = await world.daemon.ask("a" * 60 + "b")
            assert said == "a" * 60 + "b"  # the script says what it heard
            assert await world.thinker.asked() == []
            why = await world.daemon.call("why", message="last")
            assert any("[masking]" in step["detail"] for step in why["steps"])

    run(body)


def test_a_bare_model_is_asked_through_the_mask_in_every_wire(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await start(world)
            async with await client(world.daemon) as http:
                await world.thinker.control(chunk_letters=3)
                chat = {"model": "cloud", "messages": [{"role": "user", "content": WORDS}]}
                for path, asked in (
                    ("/v1/chat/completions", chat),
                    ("/v1/messages", {**chat, "max_tokens": 99}),
                    ("/v1/responses", {"model": "cloud", "input": WORDS}),
                ):
                    whole = await http.post(path, json=asked)
                    assert f"heard: {WORDS}" in whole.text, whole.text
                    streamed = await http.post(path, json={**asked, "stream": True})
                    assert f"heard: {WORDS}" in said_in(streamed.text), streamed.text
                assert_kept(await sent(world))
                plain = {"messages": [{"role": "user", "content": "good morning"}], "odd": [1]}
                await http.post("/v1/chat/completions", json={**plain, "model": "cloud"})
                last = (await world.thinker.asked())[-1]
                assert last == {**plain, "model": "stand-in"}  # passed on as it is
                hidden = {
                    **plain,
                    "messages": [
                        {"role": "user", "content": [{"type": "text", "text": f"call {PHONE}"}]}
                    ],
                }
                hidden.pop("odd")
                await http.post("/v1/chat/completions", json={**hidden, "model": "cloud"})
                assert_kept(await sent(world))

    run(body)


def test_models_here_are_told_everything(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(telegram=False)
            await world.daemon.ask(WORDS)
            shown = await sent(world)
            assert all(value in shown for value in PLANTED)

    run(body)


@pytest.mark.parametrize(
    "table",
    [
        {"rules": {"x": "("}},
        {"rules": {"x y": "a"}},
        {"rules": {"xx": "a*"}},
        {"rules": {"xx": "a" * 2000}},
        {"places": ["moon"]},
        {"skip": ["names"]},
    ],
)
def test_a_rule_that_cannot_work_is_named(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"x|places|skip"):
        MaskingSettings.model_validate(table)


def test_the_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "masking.key"
    key = key_in(path)
    assert len(key) == 32 and key_in(path) == key
    path.write_bytes(b"short")
    assert len(key_in(path)) == 32
    assert len(key_in(Path("/proc/no/such"))) == 32


async def client(daemon: Daemon) -> httpx2.AsyncClient:
    """Somebody at the window with the owner's token."""

    async def url() -> str:
        return (await daemon.call("status"))["api"]["url"]

    token = (daemon.home / "state" / "api-token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=await until(url, daemon.words), headers=headers)


def said_in(events: str) -> str:
    """The words of a stream of any wire, put together."""
    out = ""
    for line in events.splitlines():
        if not line.startswith("data: {"):
            continue
        data = json.loads(line[6:])
        for choice in data.get("choices", ()):
            out += choice.get("delta", {}).get("content") or ""
        delta = data.get("delta")
        out += delta if isinstance(delta, str) else (delta or {}).get("text", "")
    return out
