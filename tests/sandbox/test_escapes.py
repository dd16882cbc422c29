# SPDX-License-Identifier: AGPL-3.0-or-later
"""Nothing of escapes.py succeeds inside; as root and as somebody else."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import haoya
from haoya.core.sandbox import Level
from tests.sandbox.baits import Baits, inside, laid, outside
from tests.sandbox.conftest import Open
from tests.sandbox.escapes import TRIES

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
ROOT = Path(__file__).parents[2]
UNPROVEN = {
    "read_the_disk_itself",  # where a machine keeps its disks from root as well
    "use_the_kernels_ciphers",  # kernels built without
    "load_a_module",
    "load_a_bpf_program",
    "count_events_of_the_machine",
    "open_an_io_uring",
    "catch_page_faults",
    "send_raw_packets",
    "read_all_packets",
    "use_the_kernels_keys",
    "set_the_clock",
}
"""Tries that some machines refuse to everybody."""

WEAKER: dict[Level, set[str]] = {
    "namespaces": set(),
    "landlock": {"see_that_a_file_is_there", "become_root"},
}
"""What Landlock alone leaves open: names of files can be asked for, and a daemon that runs as root
stays so, without any power but to own its files."""


@pytest.fixture
def baits(tmp_path: Path) -> Iterator[Baits]:
    with laid(tmp_path) as laid_out:
        yield laid_out


@pytest.mark.skipif(os.geteuid() != 0, reason="proves the tries of root; run as root")
def test_each_try_succeeds_outside(baits: Baits) -> None:
    found = outside(baits)
    assert set(found) == set(TRIES)
    shut = {name: said for name, said in found.items() if said != "open"}
    assert set(shut) <= UNPROVEN, shut


def test_no_try_succeeds_inside(baits: Baits, opened: Open, level: Level) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            found = await inside(baits, sandbox)
        assert set(found) == set(TRIES)
        out = {name for name, said in found.items() if said == "open"}
        assert out <= WEAKER[level]
        silent = {name for name, said in found.items() if said == "ended without a word"}
        assert not silent, "a try that never came to its point proves nothing"

    asyncio.run(go())
    assert baits.home.read_text() == baits.word
    assert list(baits.read_only.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else, which only root can")
def test_no_try_of_anybody_else_succeeds_inside(tmp_path: Path, level: Level) -> None:
    """The daemon itself as nobody: the way it runs for most people."""
    interpreter = _readable_python()
    tmp_path.chmod(0o777)
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    packages = [path for path in sys.path if "site-packages" in path]
    source = str(Path(haoya.__file__).parents[1])
    done = subprocess.run(
        [*AS_NOBODY, interpreter, "-m", "tests.sandbox.as_nobody", level],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(ROOT), source, *packages]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        timeout=300,
        cwd="/",
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"nobody has no sandbox of this level here: {done.stderr.decode()}")
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert set(found) == set(TRIES)
    out = {name for name, said in found.items() if said == "open"}
    assert out <= WEAKER[level] - {"become_root"}


def _readable_python() -> str:
    """An interpreter that nobody may run, of our own version (msgspec is compiled for it)."""
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv (util-linux)")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    # Twice: setpriv still has root's rights when it starts the first.
    script = "import subprocess, sys; subprocess.run([sys.executable, '-Ic', 'pass'], check=True)"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        command = [*AS_NOBODY, candidate, "-c", script]
        tried = subprocess.run(command, capture_output=True, cwd="/", check=False)
        if tried.returncode == 0:
            return candidate
    pytest.skip(f"nobody may not run any {version} of this machine")
