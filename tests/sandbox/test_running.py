# SPDX-License-Identifier: AGPL-3.0-or-later
"""The port `Process` and `Sandbox`, at every level."""

import asyncio
import os

import pytest

from haoya.core.errors import ConfigError, Unready
from haoya.core.sandbox import Bounds, Program
from tests.sandbox.conftest import Open
from tests.sandbox.running import run, sh


def test_output_errors_and_status_come_back(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            done = await sh(sandbox, "echo out; echo err >&2; exit 7")
            assert (done.out, done.err, done.ended.status) == (b"out\n", b"err\n", 7)
            assert done.ended.bound == "" and done.ended.dropped == 0
            assert done.ended.cpu_seconds > 0

    asyncio.run(go())


def test_a_signals_number_comes_back_negative(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            assert (await sh(sandbox, "kill -TERM $$")).ended.status == -15
            assert (await sh(sandbox, "kill -SEGV $$")).ended.status == -11

    asyncio.run(go())


def test_a_pipe_that_broke_ends_a_program_as_it_should(opened: Open) -> None:
    """Python ignores SIGPIPE; a program must not inherit that."""

    async def go() -> None:
        async with opened() as sandbox:
            done = await sh(sandbox, "yes | head -c 2; trap", bounds=Bounds(seconds=20))
            assert (done.out, done.ended.status) == (b"y\n", 0)

    asyncio.run(go())


def test_megabytes_of_any_bytes_go_through_both_ways(opened: Open) -> None:
    data = os.urandom(3_000_000)

    async def go() -> None:
        async with opened() as sandbox:
            program = Program(argv=("cat",), bounds=Bounds(output=10_000_000))
            async with sandbox.start(program) as process, asyncio.TaskGroup() as tasks:

                async def feed() -> None:
                    await process.write(data)
                    await process.close_input()

                tasks.create_task(feed())
                back = b"".join([piece.data async for piece in process.output()])
            assert back == data

    asyncio.run(go())


def test_output_comes_while_the_program_runs(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            program = Program(argv=("sh", "-c", "while read line; do echo got $line; done"))
            async with sandbox.start(program) as process:
                output = process.output()
                for word in (b"one", b"two"):
                    await process.write(word + b"\n")
                    async with asyncio.timeout(20):
                        assert (await anext(output)).data == b"got " + word + b"\n"
                await process.close_input()
                assert (await process.wait()).status == 0

    asyncio.run(go())


def test_a_program_waits_for_a_reader_that_is_slow(opened: Open) -> None:
    """What is read ahead is bounded: a program that writes without end is held up."""

    async def go() -> None:
        async with opened() as sandbox:
            program = Program(argv=("yes",), bounds=Bounds(output=1 << 40))
            async with sandbox.start(program) as process:
                output = process.output()
                await anext(output)
                for _ in range(1000):
                    await asyncio.sleep(0)
                held = process._held  # pyright: ignore
                assert held <= 512 * 1024
                some = 0
                while some < 2_000_000:
                    some += len((await anext(output)).data)

    asyncio.run(go())


def test_waiting_without_reading_does_not_hang(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            argv = ("sh", "-c", "head -c 2000000 /dev/zero; echo end >&2")
            async with sandbox.start(Program(argv=argv)) as process:
                async with asyncio.timeout(20):
                    ended = await process.wait()
                pieces = [piece async for piece in process.output()]
            kept = sum(len(piece.data) for piece in pieces)
            assert kept == Bounds().output
            assert kept + ended.dropped == 2_000_004

    asyncio.run(go())


def test_leaving_ends_the_program_and_all_it_started(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            argv = ("sh", "-c", "setsid sleep 4321 & sleep 4322 & echo up; wait")
            async with sandbox.start(Program(argv=argv)) as process:
                assert (await anext(process.output())).data == b"up\n"
            assert not _sleeping("4321") and not _sleeping("4322")

    asyncio.run(go())


def test_what_is_left_behind_ends_with_the_program(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            done = await sh(sandbox, "setsid sleep 4323 >/dev/null 2>&1 & exit 0")
            assert done.ended.status == 0
            assert not _sleeping("4323")

    asyncio.run(go())


def test_a_program_can_be_stopped(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox, sandbox.start(Program(argv=("sleep", "99"))) as process:
            ended = await process.stop()
            assert ended.status == -9 and ended.bound == ""
            assert await process.wait() == ended
            with pytest.raises(Unready):
                await process.write(b"x")

    asyncio.run(go())


def test_writing_to_a_program_that_ended_says_so(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox, sandbox.start(Program(argv=("true",))) as process:
            await process.wait()
            with pytest.raises(Unready):
                await process.write(b"x" * 1_000_000)

    asyncio.run(go())


def test_a_writer_is_let_go_when_the_program_ends(opened: Open) -> None:
    async def go() -> None:
        program = Program(argv=("sleep", "0.3"))
        async with opened() as sandbox, sandbox.start(program) as process:
            with pytest.raises(Unready):
                async with asyncio.timeout(20):
                    await process.write(b"x" * 10_000_000)

    asyncio.run(go())


def test_cancelling_ends_the_program(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:

            async def body() -> None:
                await sh(sandbox, "sleep 4324")

            task = asyncio.get_running_loop().create_task(body())
            async with asyncio.timeout(20):
                while not _sleeping("4324"):
                    await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not _sleeping("4324")

    asyncio.run(go())


def test_twenty_programs_run_at_once_and_know_nothing_of_each_other(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            script = "echo $1 > $TMPDIR/mine; cat; cat $TMPDIR/mine; ls $TMPDIR | wc -l"

            async def one(number: int) -> tuple[str, int]:
                name = str(number)
                done = await run(sandbox, "sh", "-c", script, "sh", name, put=name.encode())
                return done.text, done.ended.status

            found = await asyncio.gather(*map(one, range(20)))
            assert found == [(f"{n}{n}\n1\n", 0) for n in range(20)]

    asyncio.run(go())


def test_the_environment_is_made_and_not_inherited(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "not for you")

    async def go() -> None:
        async with opened() as sandbox:
            done = await run(sandbox, "env", environment={"WORD": "given", "LANG": "zh_CN.UTF-8"})
            names = {line.split("=")[0]: line.partition("=")[2] for line in done.text.split("\n")}
            assert names["WORD"] == "given" and names["LANG"] == "zh_CN.UTF-8"
            assert not {"API_KEY", "PWD", "VIRTUAL_ENV", "PYTHONPATH"} & names.keys()

    asyncio.run(go())


def test_a_program_that_is_not_there_is_said_to_be_so(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            for program in (
                Program(argv=("no-such-program",)),
                Program(argv=("/etc/hosts",)),
                Program(argv=("true",), folder="/no/such/folder"),
                Program(argv=()),
                Program(argv=("true",), environment={"A=B": "c"}),
            ):
                with pytest.raises(ConfigError):
                    async with sandbox.start(program):
                        pass
            assert (await run(sandbox, "true")).ended.status == 0

    asyncio.run(go())


def test_words_are_never_read_by_a_shell(opened: Open) -> None:
    words = ("$HOME", "`id`", "; ls", "a b", "\n", "*", "", "-n", "é字")

    async def go() -> None:
        async with opened() as sandbox:
            done = await run(sandbox, "printf", "<%s>", *words)
            assert done.text == "".join(f"<{word}>" for word in words)

    asyncio.run(go())


def test_many_words_and_a_large_environment_arrive(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            words = ["x" * 1000] * 900
            environment = {f"N{number}": "y" * 1000 for number in range(500)}
            script = "echo $# $N499 | wc -c"
            done = await run(sandbox, "sh", "-c", script, "sh", *words, environment=environment)
            assert int(done.text) == 1005

    asyncio.run(go())


def test_the_launcher_is_started_again_where_it_died(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            launcher = sandbox._launcher  # pyright: ignore
            before = launcher.pid
            os.kill(before, 9)
            async with asyncio.timeout(20):
                while _state(before) not in ("", "Z"):
                    await asyncio.sleep(0.01)
            found = await asyncio.gather(*(sh(sandbox, "echo again") for _ in range(4)))
            assert [done.text for done in found] == ["again\n"] * 4
            assert launcher.pid != before

    asyncio.run(go())


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _sleeping(seconds: str) -> bool:
    """Whether a `sleep` of just so long runs anywhere on this machine."""
    wanted = f"sleep\0{seconds}\0".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
                if file.read() == wanted:
                    return True
        except OSError:
            continue
    return False
