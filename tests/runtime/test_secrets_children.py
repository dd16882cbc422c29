# SPDX-License-Identifier: AGPL-3.0-or-later
"""What programs that we start get to know, and what is left of us when we crash."""

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from haoya.inference import surroundings
from tests.house.sources import sources

STARTS = {
    "run",
    "Popen",
    "call",
    "check_call",
    "check_output",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "posix_spawn",
}
PLANTED = "planted-0123456789"


def test_every_program_is_started_with_an_environment_of_its_own() -> None:
    """One that is not given an environment inherits ours, and with it every `env:` secret."""
    bare: list[str] = []
    for source in sources():
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            named = node.func.attr in STARTS and owner in ("subprocess", "asyncio", "os")
            if named and owner == "asyncio" and node.func.attr == "run":
                continue
            if named and not any(keyword.arg == "env" for keyword in node.keywords):
                bare.append(f"{source.place}:{node.lineno}")
    assert not bare, f"these inherit our environment: {bare}"


@pytest.mark.parametrize(
    "kind", [surroundings.running, surroundings.working, surroundings.building]
)
def test_no_secret_of_ours_is_passed_on(kind: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "TG_TOKEN", "AWS_SECRET_ACCESS_KEY", "HAOYA_X"):
        monkeypatch.setenv(name, PLANTED)
    assert callable(kind)
    given = kind()
    assert given["PATH"] == os.environ["PATH"]
    assert PLANTED not in given.values()


TAKE = """
import sys
from pathlib import Path
from haoya.runtime.hardening import take_variable
before = Path("/proc/self/environ").read_bytes()
assert b"planted-0123456789" in before
assert take_variable("HAOYA_PLANTED") == "planted-0123456789"
assert take_variable("HAOYA_PLANTED") is None
after = Path("/proc/self/environ").read_bytes()
assert b"planted-0123456789" not in after, after
assert b"HAOYA_OTHER=stays" in after
assert take_variable("HAOYA_OTHER", keep=True) == "stays"
assert take_variable("HAOYA_OTHER", keep=True) == "stays"
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows it in /proc")
def test_a_variable_that_was_taken_is_gone_from_what_the_kernel_shows() -> None:
    environment = {**os.environ, "HAOYA_PLANTED": PLANTED, "HAOYA_OTHER": "stays"}
    subprocess.run([sys.executable, "-c", TAKE], env=environment, check=True)


CRASH = """
import os, resource
from haoya.runtime.hardening import shield
shield()
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
os.abort()
"""


def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        command = [sys.executable, "-c", CRASH]
    else:
        command = ["sh", "-c", f"ulimit -c unlimited; exec {sys.executable} -c '{CRASH}'"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as child:
        _, status = os.waitpid(child.pid, 0)
        child.returncode = status
    assert os.WIFSIGNALED(status) and not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


SHIELDED = """
import ctypes, sys
from haoya.runtime.hardening import shield
shield()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_nobody_of_the_same_user_can_look_into_it() -> None:
    """PR_GET_DUMPABLE says so, and for anybody but root the kernel shows the process as root's."""
    command = [sys.executable, "-c", SHIELDED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdin
        assert child.stdout.readline() == b"0\n"
        owner = Path(f"/proc/{child.pid}/environ").stat().st_uid
        assert owner == 0
        child.stdin.close()
