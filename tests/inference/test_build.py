# SPDX-License-Identifier: AGPL-3.0-or-later
"""Engines built from a real source package by real tools, only smaller ones."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haoya.core.errors import ConfigError
from haoya.inference import toolchain
from haoya.inference.build import PACKAGE, Plan
from haoya.inference.built import records
from haoya.inference.engine import engines
from haoya.runtime import engines as facade
from tests.inference.fake_source import STEM, VERSION, archive, index, write_server

SECONDS = 60

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("cmake")), reason="needs a compiler and cmake"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home beside a package index that holds nothing."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    folder = tmp_path / "home"
    (folder / "models" / "engines").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine to compare with: 100 tokens a second."""
    folder = tmp_path_factory.mktemp("reference")
    program = folder / "reference"
    options = ["-DSPEED=100", "-DSHIFT=0", "-o", str(program)]
    subprocess.run(["cc", *options, str(write_server(folder))], check=True)
    return program


def plan(home: Path, package: bytes, reference: Path, *, here: bool = True) -> Plan:
    """To build a package, which lies there already unless it is to be fetched."""
    model = home / "model.gguf"
    model.write_bytes(b"GGUF")
    made = Plan(
        models=str(home / "models"),
        model=str(model),
        version=VERSION,
        sha256=hashlib.sha256(package).hexdigest(),
        reference=(str(reference),),
    )
    if here:
        work = made.engines / f".{made.name}"
        work.mkdir(exist_ok=True)
        (work / f"{STEM}.tar.gz").write_bytes(package)
    return made


def until(home: Path, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        build = facade.status(home)["build"]
        if build and wanted(build):
            return build
        time.sleep(0.05)
    log = home / "models" / "engines" / "build.log"
    raise AssertionError(f"{facade.status(home)}\n{log.read_text()[-3000:]}")


def built(home: Path, made: Plan) -> dict[str, Any]:
    facade.start(made)
    return until(home, lambda build: not build["running"])


def test_an_equal_and_faster_build_is_fetched_proven_and_chosen(
    home: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = archive(speed=150)
    with index(package) as address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
        build = built(home, plan(home, package, reference, here=False))
    assert (build["step"], build["error"]) == ("done", "")
    ((folder, record),) = records(home / "models")
    assert record.chosen and record.proof and record.proof.equal
    assert record.proof.ratio == 1.5 and record.proof.tokens == 120
    assert (folder / "bin" / "llama-quantize").exists()
    assert [path.name for path in folder.parent.glob(".llama*")] == []
    (first, *_) = engines(home / "models")
    assert (first.name, first.version) == ("native", VERSION)
    facade.use(home, "wheel")
    assert not records(home / "models")[0][1].chosen
    facade.use(home, "native")
    assert facade.status(home)["engines"][0]["name"] == "native"


def test_a_build_that_says_something_else_is_kept_out(home: Path, reference: Path) -> None:
    package = archive(speed=900, shift=1)
    assert built(home, plan(home, package, reference))["step"] == "done"
    ((_, record),) = records(home / "models")
    assert not record.chosen and record.proof
    assert "says something else" in record.proof.reason
    with pytest.raises(ConfigError, match="must not be used"):
        facade.use(home, "native")


def test_a_build_that_is_not_faster_is_kept_out_and_may_be_chosen(
    home: Path, reference: Path
) -> None:
    assert built(home, plan(home, archive(speed=100), reference))["step"] == "done"
    ((_, record),) = records(home / "models")
    assert not record.chosen and record.proof and "not faster" in record.proof.reason
    facade.use(home, "native")
    assert records(home / "models")[0][1].chosen


def test_another_file_than_the_known_one_is_refused(
    home: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(home, archive(speed=150), reference, here=False)
    with index(archive(speed=666)) as address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
        build = built(home, made)
    assert build["step"] == "failed" and "SHA-256 differs" in build["error"]
    assert records(home / "models") == []


def test_an_index_out_of_reach_is_named(home: Path, reference: Path) -> None:
    build = built(home, plan(home, archive(speed=150), reference, here=False))
    assert build["step"] == "failed" and "cannot be reached" in build["error"]
    assert PACKAGE not in build["error"] and "run it again" in build["cure"]


@pytest.mark.parametrize("hard", [False, True])
def test_a_build_that_was_stopped_goes_on_where_it_was(
    home: Path, reference: Path, tmp_path: Path, hard: bool
) -> None:
    gate = tmp_path / "gate"
    made = plan(home, archive(speed=150, gate=str(gate)), reference)
    facade.start(made)
    build = until(home, lambda build: build["step"] == "compile" and build["done"] >= 3)
    if hard:
        os.killpg(build["pid"], signal.SIGKILL)
        build = until(home, lambda build: not build["running"])
        assert build["step"] == "broken"
    else:
        stopped = facade.cancel(home)["build"]
        assert (stopped["running"], stopped["step"]) == (False, "cancelled")
    objects = list((made.engines / f".{made.name}" / "b").rglob("server.c.o"))
    before = [path.stat().st_mtime_ns for path in objects]
    gate.touch()
    log = made.engines / "build.log"
    size = log.stat().st_size
    assert built(home, made)["step"] == "done"
    assert before and "server.c.o" not in log.read_text()[size:]
    assert records(home / "models")[0][1].chosen


def test_one_build_at_a_time(home: Path, reference: Path, tmp_path: Path) -> None:
    made = plan(home, archive(speed=150, gate=str(tmp_path / "gate")), reference)
    facade.start(made)
    until(home, lambda build: build["step"] == "compile")
    with pytest.raises(ConfigError, match="already"):
        facade.build(home)
    facade.cancel(home)
    with pytest.raises(ConfigError, match="no engine is being built"):
        facade.cancel(home)


def test_a_machine_without_a_compiler_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError) as caught:
        toolchain.check(tmp_path)
    assert "no C++ compiler" in str(caught.value) and caught.value.cure


def test_a_server_on_the_path_can_be_chosen(
    home: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="on the PATH"):
        monkeypatch.setenv("PATH", str(tmp_path))
        facade.use(home, "server")
    (tmp_path / "llama-server").symlink_to(reference)
    rows = facade.use(home, "server")["engines"]
    assert (rows[0]["name"], rows[0]["in_use"]) == ("server", True)
