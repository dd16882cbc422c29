# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the strongest level is impossible the next one is taken and said; never none."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WITHOUT_LANDLOCK = """
import runpy
from haoya.sandbox.filter import Loaded, _RETURN, _LOAD, _EQUAL, _ALLOW, _refuse
from haoya.sandbox.kernel import prctl, PR_SET_NO_NEW_PRIVS
import struct
steps = [(_LOAD, 0, 0, 0), (_EQUAL, 0, 1, 444), _refuse(95), (_RETURN, 0, 0, _ALLOW)]
prctl(PR_SET_NO_NEW_PRIVS, 1)
Loaded(b"".join(struct.pack("=HBBI", *step) for step in steps)).install()
runpy.run_module("tests.sandbox.levels", run_name="__main__")
"""


def asked(*command: str) -> dict[str, object]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def in_a_container(*command: str) -> list[str]:
    """A place in which nobody can make namespaces, as many containers are."""
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bwrap (bubblewrap) to make such a place with")
    return [
        *("bwrap", "--unshare-user", "--disable-userns", "--bind", "/", "/"),
        *("--dev-bind", "/dev", "/dev", "--proc", "/proc", "--", *command),
    ]


def test_without_namespaces_landlock_is_taken_and_the_reason_said() -> None:
    found = asked(*in_a_container(sys.executable, "-m", "tests.sandbox.levels"))
    if not found["level"]:
        pytest.skip(f"this machine has no Landlock: {found['error']}")
    assert found["level"] == "landlock"
    assert "namespaces: the sandbox cannot run programs: clone" in str(found["weaknesses"])
    assert found["status"] == 5


def test_without_landlock_nothing_runs_though_there_are_namespaces() -> None:
    """Half of a level is none: what remains would look like a sandbox."""
    found = asked(sys.executable, "-c", WITHOUT_LANDLOCK)
    assert found["level"] == ""
    assert "no program can be run safely" in str(found["error"])
