# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one loop in which parts live."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from haoya.core.errors import ConfigError, Rejected, Unready
from haoya.runtime import supervisor
from haoya.runtime.board import State
from haoya.runtime.supervisor import FIRST_WAIT, LONGEST_WAIT, cause_of, pause, supervise
from tests.runtime.waiting import run, until


class Part:
    """A part that opens and works as told: a list of what happens at each opening."""

    def __init__(self, *fates: BaseException | str) -> None:
        self.fates = list(fates)
        self.opened = 0
        self.closed = 0
        self.told: list[tuple[State, str]] = []

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[int]:
        self.opened += 1
        fate = self.fates[0] if self.fates else ""
        if isinstance(fate, BaseException) and getattr(fate, "early", False):
            raise self.fates.pop(0)  # type: ignore[misc]
        try:
            yield self.opened
        finally:
            self.closed += 1

    async def use(self, _: int) -> None:
        fate = self.fates.pop(0) if self.fates else "stay"
        if isinstance(fate, BaseException):
            raise fate
        if fate == "stay":
            await asyncio.Event().wait()

    def report(self, state: State, reason: str) -> None:
        self.told.append((state, reason))

    async def live(self) -> None:
        await supervise("part", self.open, self.use, self.report)

    def states(self) -> list[State]:
        return [state for state, _ in self.told if state != "opening"]


def early(error: BaseException) -> BaseException:
    """The error, raised while opening."""
    error.early = True  # type: ignore[attr-defined]
    return error


def test_a_part_that_ends_is_done() -> None:
    part = Part("end")
    run(part.live)
    assert part.states() == ["open"] and (part.opened, part.closed) == (1, 1)


@pytest.mark.parametrize("when", [early, lambda error: error])
@pytest.mark.parametrize("error", [Rejected, ConfigError])
def test_a_refusal_parks(error: type[Exception], when: object) -> None:
    part = Part(when(error("wrong password")))  # type: ignore[operator]
    run(part.live)
    assert part.told[-1] == ("parked", "wrong password")
    assert part.opened == 1


def test_the_owner_is_told_the_cure() -> None:
    part = Part(ConfigError("no nick", cure="write nick = …"))
    run(part.live)
    assert part.told[-1] == ("parked", "no nick; write nick = …")


@pytest.mark.parametrize("when", [early, lambda error: error])
def test_unready_waits_as_long_as_asked_and_opens_again(when: object) -> None:
    part = Part(*(when(Unready("not yet", retry_after=0.01)) for _ in range(3)), "end")  # type: ignore[operator]
    run(part.live)
    assert part.opened == 4
    assert [told for told in part.told if told[0] == "waiting"] == [("waiting", "not yet")] * 3


def test_a_fault_of_ours_is_logged_with_its_traceback_and_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    part = Part(ZeroDivisionError("by zero"), "end")
    with caplog.at_level(logging.ERROR):
        run(part.live)
    assert part.told[-2][0] == "opening" and part.states() == ["open", "waiting", "open"]
    assert "ZeroDivisionError: by zero" in dict(part.told)["waiting"]
    assert caplog.records[0].exc_info


def test_in_a_group_the_error_that_asks_for_most_decides() -> None:
    gone, refused = Unready("gone"), Rejected("refused")
    broken = ConfigError("broken")
    assert cause_of(ExceptionGroup("x", [ValueError(), gone])) is gone
    assert cause_of(ExceptionGroup("x", [gone, ExceptionGroup("y", [refused])])) is refused
    assert cause_of(ExceptionGroup("x", [gone, broken])) is broken
    assert isinstance(cause_of(ExceptionGroup("x", [KeyError(), ValueError()])), KeyError)
    assert cause_of(gone) is gone


def test_a_group_from_hearing_and_speaking_parks_too() -> None:
    part = Part(ExceptionGroup("x", [Unready("gone"), Rejected("password")]))
    run(part.live)
    assert part.told[-1] == ("parked", "password")


def test_cancelling_leaves_and_closes() -> None:
    part = Part("stay")

    async def body() -> None:
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(part.live())
            await until(lambda: ("open", "") in part.told)
            living.cancel()

    run(body)
    assert (part.opened, part.closed) == (1, 1)


def test_cancelling_while_it_waits_leaves_at_once() -> None:
    part = Part(Unready("later", retry_after=3600))

    async def body() -> None:
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(part.live())
            await until(lambda: part.told and part.told[-1][0] == "waiting")
            living.cancel()

    run(body)
    assert part.closed == 1


def test_opening_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "OPEN_SECONDS", 0.02)
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.01)
    told: list[tuple[State, str]] = []
    left: list[bool] = []

    @asynccontextmanager
    async def never() -> AsyncGenerator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            left.append(True)

    async def use(_: int) -> None:
        raise AssertionError("it never opens")

    async def body() -> None:
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(
                supervise("part", never, use, lambda state, why: told.append((state, why)))
            )
            await until(lambda: len(left) > 1)
            living.cancel()

    run(body)
    assert ("waiting", "opening took over 0 s") in told


def test_waits_double_up_to_a_minute_with_jitter() -> None:
    for failures in range(40):
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2**failures)
        assert longest / 2 <= pause(failures) <= longest
    assert len({pause(9) for _ in range(20)}) > 1


def test_a_part_that_swallows_its_error_is_not_opened_again() -> None:
    """A context manager may end an error itself: then its work is done."""
    opened: list[int] = []

    @asynccontextmanager
    async def forgiving() -> AsyncGenerator[int]:
        opened.append(1)
        with suppress(Unready):
            yield 1

    async def use(_: int) -> None:
        raise Unready("gone")

    run(lambda: supervise("part", forgiving, use, lambda state, why: None))
    assert opened == [1]


def test_a_fault_in_one_of_its_tasks_opens_it_again() -> None:
    """A task group that waits for its tasks when one fails leaves its own task marked as being
    cancelled (CPython before 3.13, gh-117407); that is no wish to stop."""
    opened: list[int] = []

    @asynccontextmanager
    async def open_() -> AsyncGenerator[int]:
        opened.append(1)
        yield 1

    async def fail() -> None:
        await asyncio.sleep(0)
        raise Unready("gone", retry_after=0)

    async def use(_: int) -> None:
        if len(opened) == 3:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            tasks.create_task(asyncio.Event().wait())

    run(lambda: supervise("part", open_, use, lambda state, why: None))
    assert len(opened) == 3
