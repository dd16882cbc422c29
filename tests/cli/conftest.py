# SPDX-License-Identifier: AGPL-3.0-or-later
"""A home of its own for every test, the true small daemon in it, and the command line."""

import codecs
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from haoya.cli.app import run

SECONDS = 20
DAEMON = Path(__file__).parent / "daemon.py"
HAOYA = [sys.executable, "-c", "import sys; from haoya.cli import main; sys.exit(main())"]


@dataclass
class Daemon:
    """The daemon of `daemon.py` in a process of its own, that can be killed and started anew."""

    home: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, str(DAEMON), str(self.home)], stdout=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"

    def kill(self) -> None:
        self.processes[-1].kill()
        self.processes[-1].wait(SECONDS)

    def died(self) -> None:
        """Wait until it has ended by itself."""
        assert self.processes[-1].wait(SECONDS) == 9

    def heard(self) -> list[str]:
        """The texts it stored, in order."""
        lines = [json.loads(x) for x in (self.home / "journal.jsonl").read_text().splitlines()]
        return [line["text"] for line in lines if "in" in line]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAOYA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HAOYA_LANG", "en")
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    one = Daemon(home)
    one.start()
    yield one
    for process in one.processes:
        process.kill()
        process.wait(SECONDS)
        assert process.stdout is not None
        process.stdout.close()


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Haoya = Callable[..., Outcome]


@pytest.fixture
def haoya(home: Path, capfd: pytest.CaptureFixture[str]) -> Haoya:
    """Run one command line in this process."""

    def command(*arguments: str) -> Outcome:
        capfd.readouterr()
        try:
            status = run(arguments)
        except SystemExit as leaving:
            assert isinstance(leaving.code, int)
            status = leaving.code
        out, err = capfd.readouterr()
        return Outcome(status, out, err)

    return command


class Screen:
    """A person at a terminal (a real pseudo-terminal): types, and reads what appears."""

    def __init__(self, *arguments: str) -> None:
        self._end, inner = os.openpty()
        self.process = subprocess.Popen(
            [*HAOYA, *arguments], stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        os.close(inner)
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def reads(self, wanted: str) -> str:
        """Wait until `wanted` appears; what came before it is read and gone."""
        deadline = time.monotonic() + SECONDS
        while wanted not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, f"never saw {wanted!r} in {self.text!r}"
            if select.select([self._end], [], [], left)[0]:
                try:
                    self.text += self._decoder.decode(os.read(self._end, 65536))
                except OSError:  # The other end closed.
                    assert wanted in self.text, f"never saw {wanted!r} in {self.text!r}"
        before, _, self.text = self.text.partition(wanted)
        return before

    def leave(self) -> int:
        status = self.process.wait(SECONDS)
        os.close(self._end)
        return status


@pytest.fixture
def screen(home: Path) -> Iterator[Callable[..., Screen]]:
    screens: list[Screen] = []

    def show(*arguments: str) -> Screen:
        screens.append(Screen(*arguments))
        return screens[-1]

    yield show
    for one in screens:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(SECONDS)
