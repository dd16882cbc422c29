# SPDX-License-Identifier: AGPL-3.0-or-later
"""The command line and the whole house together: `haoya up` in a process of its own."""

import json
import os
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from haoya.cli.client import reach
from haoya.cli.talk import Talk, words_of
from haoya.core.errors import Unready
from tests.cli.conftest import HAOYA, SECONDS, Haoya
from tests.cli.test_chat import until

SETTINGS = """
[agent]
model = "toy"
[models.toy]
use = "script"
"""


class Up:
    """`haoya up`, killed and started at will."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home.parent / "up.log").open("ab") as log:
            command = [*HAOYA, "up", "--home", str(self.home), "--port", "0"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.answers)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home.parent / "up.log").read_text()
        client = reach(self.home)
        if client is None:
            return False
        with client:
            try:
                return "version" in json.dumps(client.call("status", {}))
            except Unready:
                return False

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    (home / "settings.toml").write_text(SETTINGS)
    home.chmod(0o700)
    house = Up(home)
    house.start()
    yield house
    if house.process and house.process.poll() is None:
        house.end()


def piped(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HAOYA, *arguments],
        input=said, capture_output=True, text=True, timeout=SECONDS * 2, check=False,
    )  # fmt: skip


def test_every_command_understands_the_house(up: Up, haoya: Haoya, tmp_path: Path) -> None:
    assert piped("ask", "你好").stdout == "你好\n"
    assert piped("chat", said="one\ntwo\n").stdout == "one\ntwo\n"
    turn = str(haoya("runs", "list", "--json").json()[0]["turn"])
    copy = str(tmp_path / "copy.haoya")
    for line in (
        "status", "doctor", "asks", "channels list", "channels test local", "pair list",
        "runs list", f"runs show {turn}", "why last", f"why {turn}", "replay last", "open",
        "config check", "config path", "secrets list", f"backup create {copy}",
        f"backup verify {copy}",
    ):  # fmt: skip
        if not line.startswith("backup"):
            machine = haoya(*line.split(), "--json")
            assert (machine.status, machine.err) == (0, ""), (line, machine)
            machine.json()
        person = haoya(*line.split())
        assert (person.status, person.err) == (0, ""), (line, person)
    assert haoya("config", "schema").json()["type"] == "object"
    assert haoya("pair", "approve", "NOPE").status == 1
    assert haoya("asks", "yes", "99999").status == 1
    assert haoya("why", "local:nothing").status == 1
    assert haoya("down").status == 0
    assert up.process is not None
    assert up.process.wait(SECONDS) == 0
    assert haoya("status").status == 3
    for line in ("doctor", "pair list", "runs list", f"runs show {turn}", "why last"):
        offline = haoya(*line.split())
        assert (offline.status, offline.err) == (0, ""), (line, offline)
    restored = str(tmp_path / "restored")
    assert haoya("backup", "restore", copy, "--home", restored).status == 0
    assert turn in haoya("runs", "list", "--home", restored).out


def test_a_second_daemon_in_one_home_is_refused_in_words(up: Up) -> None:
    second = piped("up", "--port", "0")
    assert second.returncode == 1
    assert "Traceback" not in second.stderr
    assert str(up.home) in second.stderr


def test_ctrl_c_stops_the_daemon_with_status_0(up: Up) -> None:
    assert up.end(signal.SIGINT) == 0


def test_what_setup_writes_the_house_accepts(haoya: Haoya, home: Path) -> None:
    home.chmod(0o700)
    done = haoya(
        "setup", "--yes", "--model-url", "http://127.0.0.1:9/v1", "--model", "m",
        "--telegram-token-env", "TG", "--irc-host", "irc.example.org", "--irc-room", "#a",
        "--key-env", "KEY",
    )  # fmt: skip
    assert done.status == 0
    checked = haoya("config", "check")
    assert (checked.status, checked.err) == (0, ""), checked
    assert set(tomllib.loads((home / "settings.toml").read_text())["channels"]) == {"tg", "irc"}


def test_the_house_killed_again_and_again_answers_everything_once(home: Path, up: Up) -> None:
    talk = Talk(home, "cli")
    assert talk.connect()
    said: dict[str, str] = {}
    answers: list[str] = []
    deadline = time.monotonic() + 60
    for n in range(30):
        said[talk.say(f"m{n}")] = f"m{n}"
        if n % 7 == 6:
            up.end()
            said[talk.say(f"dark {n}")] = f"dark {n}"
            up.start()
        while len(talk.awaited) > 4 and time.monotonic() < deadline:
            listen(talk, answers)
    while talk.awaited and time.monotonic() < deadline:
        listen(talk, answers)
    talk.close()
    assert not talk.awaited
    assert not talk.unstored
    words = "\n".join(answers)
    assert all(text in words for text in said.values())
    assert len(set(answers)) == len(answers)


def listen(talk: Talk, answers: list[str]) -> None:
    try:
        outbound = talk.hear(0.2)
    except Unready:
        until(talk.connect)
        return
    if outbound and outbound.finality == "final":
        answers.append(words_of(outbound))


def test_a_person_without_settings_is_asked_first(home: Path, screen: type) -> None:
    person = screen("up", "--port", "0")
    person.reads("Language")
    os.kill(person.process.pid, signal.SIGINT)
    assert person.leave() == 130
