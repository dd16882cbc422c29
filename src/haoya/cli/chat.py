# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya chat`: a conversation in the terminal, or line by line through a pipe."""

import contextlib
import importlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from haoya.cli.growing import Growing
from haoya.cli.house import leave_not_running
from haoya.cli.lent import Lent
from haoya.cli.talk import DOOR, Talk, words_of
from haoya.cli.view import ERROR, OK, USAGE, View, paint
from haoya.cli.words import say
from haoya.core.errors import ConfigError, Unready
from haoya.core.message import Outbound

LOOK_SECONDS = 0.3
"""How often a daemon that is away is looked for."""
PROMPT = "› "


def chat(
    *,
    room: Annotated[str, Parameter(help=say("option.room"))] = "main",
    timeout: Annotated[float, Parameter(help=say("option.timeout"))] = 300.0,
    view: Lent,
) -> int:
    """Talk with the agent; Ctrl-D or Ctrl-C leaves."""
    if view.json:
        view.complain(say("chat.json"), 'haoya ask --json "…"', kind="usage")
        return USAGE
    talk = Talk(view.home, room)
    if not talk.connect():
        leave_not_running(view)
    try:
        if view.interactive:
            return Terminal(talk).run()
        return _piped(talk, timeout, view)
    finally:
        talk.close()


class Terminal:
    """A person types in the main thread; what is said comes in from a second one.

    The line is edited by readline and nothing else touches the keyboard, so input methods work
    as in a shell. What arrives while a person types is written above the line.
    """

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._growing = Growing(sys.stdout)
        self._screen = threading.Lock()
        self._typing = False
        self._free = threading.Event()
        self._leaving = threading.Event()
        self._line_so_far: Callable[[], str] = _readline()

    def run(self) -> int:
        """Until the person leaves."""
        print(paint(say("chat.hello", room=self._talk.room), "dim"))
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            while True:
                text = self._read()
                if text.strip():
                    self._free.clear()
                    self._talk.say(text)
                    self._free.wait()
        print()
        self._leaving.set()
        listener.join(2.0)
        if self._talk.unstored:
            print(say("chat.unstored", count=len(self._talk.unstored)), file=sys.stderr)
            return ERROR
        return OK

    def _read(self) -> str:
        with self._screen:
            self._growing.interrupt()
            self._typing = True
        try:
            return input(PROMPT)
        finally:
            self._typing = False

    def _listen(self) -> None:
        while not self._leaving.is_set():
            try:
                outbound = self._talk.hear(LOOK_SECONDS)
            except Unready as error:
                self._mend(str(error))
            except ConfigError as error:
                self._write(f"{error} — {error.cure}")
                self._free.set()
            else:
                if outbound:
                    self._show(outbound)

    def _mend(self, reason: str) -> None:
        self._write(paint(say("chat.away", reason=reason), "dim"))
        while not self._leaving.wait(LOOK_SECONDS):
            with contextlib.suppress(Unready, ConfigError):
                if self._talk.connect():
                    self._write(paint(say("chat.back"), "dim"))
                    return

    def _show(self, outbound: Outbound) -> None:
        text = words_of(outbound)
        if outbound.finality == "draft":
            with self._screen:
                if not self._typing:
                    self._growing.grow(text)
            return
        self._write(text)
        if not self._talk.awaited or not outbound.answers:
            self._free.set()  # Answered, or the house itself asks something.

    def _write(self, text: str) -> None:
        with self._screen:
            if self._typing:
                sys.stdout.write(f"\r\x1b[K{text}\n{PROMPT}{self._line_so_far()}")
                sys.stdout.flush()
            else:
                self._growing.finish(text)


def _readline() -> Callable[[], str]:
    """Turn line editing on where this Python has it; what is on the line, as it is typed."""
    try:
        readline = importlib.import_module("readline")
    except ImportError:
        return lambda: ""
    return readline.get_line_buffer


def _piped(talk: Talk, timeout: float, view: View) -> int:
    """Every line of standard input is a message; answers go to standard output in order."""
    for line in sys.stdin:
        if line.strip():
            id = talk.say(line.strip())
            if not _until(talk, lambda id=id: id not in talk.awaited, timeout, notices=True):
                view.complain(say("ask.late", seconds=round(timeout)), f"haoya why {DOOR}:{id}")
                return ERROR
    if not _until(talk, lambda: not talk.awaited, timeout, notices=False):
        view.complain(say("ask.late", seconds=round(timeout)), "haoya runs list")
        return ERROR
    return OK


def _until(talk: Talk, answered: Callable[[], bool], timeout: float, *, notices: bool) -> bool:
    """Print what is said until `answered`, or until a notice where those count; false if late."""
    deadline = time.monotonic() + timeout
    while not answered():
        if time.monotonic() > deadline:
            return False
        try:
            outbound = talk.hear(LOOK_SECONDS)
        except Unready:
            time.sleep(LOOK_SECONDS)
            with contextlib.suppress(Unready):
                talk.connect()
            continue
        if outbound and outbound.finality != "draft":
            print(words_of(outbound), flush=True)
            if notices and not outbound.answers:
                return True
    return True
