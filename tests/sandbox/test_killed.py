# SPDX-License-Identifier: AGPL-3.0-or-later
"""A daemon that is killed leaves no program behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from haoya.core.sandbox import Level

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 20


@contextlib.contextmanager
def daemon(level: Level) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A daemon with three programs, and all below it; whoever is left at the end is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sandbox.daemon", level],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    family: list[int] = []
    try:
        assert process.stdout
        said = process.stdout.readline().strip()
        if said != "up":
            pytest.skip(f"this machine has no sandbox of this level: {said}")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(family) < 1 + 3 * 5:  # the zygote; keepers, shells, three sleeps each
            assert time.monotonic() < deadline
            family = below(process.pid)
        yield process, family
    finally:
        process.kill()
        for pid in filter(alive, family):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        assert process.stdout
        process.stdout.close()


def gone(family: list[int]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while left := [pid for pid in family if alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_daemon_leaves_nothing(level: Level, number: int) -> None:
    with daemon(level) as (process, family):
        process.send_signal(number)
        process.wait()
        gone(family)


def test_a_killed_zygote_takes_all_programs_with_it(level: Level) -> None:
    with daemon(level) as (process, family):
        (zygote,) = [pid for pid in family if parent(pid) == process.pid]
        os.kill(zygote, signal.SIGKILL)
        gone([pid for pid in family if pid != zygote])


def test_a_killed_keeper_takes_its_program_with_it(level: Level) -> None:
    if level != "namespaces":
        pytest.skip("Landlock alone has nothing that ends what a killed keeper stood over")
    with daemon(level) as (process, family):
        (zygote,) = [pid for pid in family if parent(pid) == process.pid]
        keeper = next(pid for pid in family if parent(pid) == zygote)
        its = below(keeper)
        assert len(its) >= 4
        os.kill(keeper, signal.SIGKILL)
        gone(its)
        others = set(family) - {keeper, *its}
        assert all(alive(pid) for pid in others)


def below(pid: int) -> list[int]:
    """All processes that descend from one."""
    everyone = [int(name.name) for name in Path("/proc").iterdir() if name.name.isdigit()]
    parents = {one: parent(one) for one in everyone}
    known = {pid}
    while more := {one for one, above in parents.items() if above in known} - known:
        known |= more
    return sorted(known - {pid})


def parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
