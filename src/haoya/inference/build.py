# SPDX-License-Identifier: AGPL-3.0-or-later
"""Builds llama.cpp's server for this very processor: `python -m haoya.inference.build PLAN`.

The source is the one in the package `llama-cpp-python` of the owner's package index, fetched by
pip (index, proxy and certificates as the owner has set them up), its SHA-256 known here. The
program runs in the background at the lowest priority and writes how far it is into `build.json`;
what is done stays done, so that a build that was stopped goes on where it was. Only an engine
that is proven equal to the wheel and faster on the owner's model is chosen.
"""

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from haoya.core.errors import ConfigError, HaoyaError
from haoya.inference import surroundings, toolchain
from haoya.inference.built import Proof, Record, choose_only, write
from haoya.inference.engine import Engine, arguments, engines
from haoya.inference.hashing import sha256_of
from haoya.inference.machine import examine
from haoya.inference.proof import prove

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
PROGRAMS = ("llama-server", "llama-quantize")
OPTIONS = (
    *("CMAKE_BUILD_TYPE=Release", "GGML_NATIVE=ON", "BUILD_SHARED_LIBS=OFF"),
    *("LLAMA_BUILD_UI=OFF", "LLAMA_CURL=OFF", "LLAMA_OPENSSL=OFF"),
    *("LLAMA_BUILD_TESTS=OFF", "LLAMA_BUILD_EXAMPLES=OFF"),
)
NICE, COMPILING_NICE = 5, 14
"""Everything gives way to chats; compilers, at the lowest priority, to all there is (nice(1), added
up). What is measured must not be starved by them: an engine's threads wait for each other."""

TAIL_LINES = 30

_NINJA = re.compile(r"\[(\d+)/(\d+)\]")
_MAKE = re.compile(r"\[ *(\d+)%\]")

Step = Literal["check", "fetch", "unpack", "configure", "compile", "install", "prove"]
End = Literal["done", "failed", "cancelled"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to build where. `model` is a file to prove the engine on, empty where there is none;
    `reference` is the program to compare with, empty for the wheel."""

    models: str
    model: str = ""
    version: str = VERSION
    sha256: str = SHA256
    reference: tuple[str, ...] = ()

    @property
    def engines(self) -> Path:
        """The folder of all engines."""
        return Path(self.models) / "engines"

    @property
    def name(self) -> str:
        """The name of the engine and its folder."""
        return f"llama.cpp-{self.version}"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`build.json`: how far a build is. `done` of `of` steps of the compiler, 0 of 0 unknown."""

    name: str
    step: Step | End
    pid: int
    began: float
    at: float
    done: int = 0
    of: int = 0
    error: str = ""
    cure: str = ""


class Build:
    """One build from the beginning to the end, each step skipped where it was done before."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.work = plan.engines / f".{plan.name}"
        self.target = plan.engines / plan.name
        self.began = time.time()

    def run(self) -> Proof | None:
        """Do all of it; the proof, None where there is nothing to prove it on."""
        self.tell("check")
        if not all(os.access(self.target / "bin" / name, os.X_OK) for name in PROGRAMS):
            toolchain.check(self.plan.engines)
            self.work.mkdir(exist_ok=True)
            self.tell("fetch")
            archive = self._fetch()
            self.tell("unpack")
            source = self._unpack(archive)
            self.tell("configure")
            self._configure(source)
            self.tell("compile")
            self._compile()
            self.tell("install")
            self._install()
        self.tell("prove")
        return self._prove()

    def tell(self, step: Step | End, done: int = 0, of: int = 0, error: HaoyaError | None = None):
        """Write how far it is."""
        state = State(
            name=self.plan.name,
            step=step,
            pid=os.getpid(),
            began=self.began,
            at=time.time(),
            done=done,
            of=of,
            error=str(error or ""),
            cure=error.cure if isinstance(error, ConfigError) else "",
        )
        new = self.plan.engines / ".build.json.new"
        new.write_bytes(msgspec.json.encode(state))
        new.replace(self.plan.engines / "build.json")

    def _fetch(self) -> Path:
        archive = self.work / f"{PACKAGE.replace('-', '_')}-{self.plan.version}.tar.gz"
        if archive.exists() and sha256_of(archive) == self.plan.sha256:
            return archive
        wanted = self.work / "wanted.txt"
        wanted.write_text(f"{PACKAGE}=={self.plan.version} --hash=sha256:{self.plan.sha256}\n")
        said = self._pip(
            *("download", "--no-deps", "--no-binary", PACKAGE, "--require-hashes"),
            *("-r", str(wanted), "-d", str(self.work)),
        )
        if said:
            raise _not_fetched(said, self.plan.version)
        if sha256_of(archive) != self.plan.sha256:
            raise _not_fetched("DO NOT MATCH THE HASHES", self.plan.version)
        return archive

    def _pip(self, *words: str) -> str:
        """Run pip of an environment of our own; what it said where it failed."""
        tools = self.work / "tools"
        python = tools / "bin" / "python"
        if not (tools / "bin" / "pip").exists():
            shutil.rmtree(tools, ignore_errors=True)
            if said := run([sys.executable, "-m", "venv", str(tools)]):
                raise ConfigError(
                    f"Python's venv module does not work here: {_last(said)}",
                    cure="on Debian and Ubuntu: sudo apt install python3-venv",
                )
        return run([str(python), "-m", "pip", words[0], "--retries", "2", *words[1:]])

    def _unpack(self, archive: Path) -> Path:
        """The folder of llama.cpp's source."""
        source = self.work / "source"
        if not source.exists():
            new = self.work / ".source.new"
            shutil.rmtree(new, ignore_errors=True)
            with tarfile.open(archive) as packed:
                if hasattr(tarfile, "data_filter"):  # Python 3.11.4
                    packed.extraction_filter = tarfile.data_filter
                packed.extractall(new)  # its SHA-256 is known
            new.rename(source)
        found = sorted(source.glob("*/vendor/llama.cpp/CMakeLists.txt"))
        if not found:
            raise ConfigError(
                f"{archive.name} does not carry llama.cpp's source", cure="update haoya"
            )
        return found[0].parent

    def _configure(self, source: Path) -> None:
        line = [self._cmake(), "-S", str(source), "-B", str(self.work / "b")]
        if ninja := shutil.which("ninja"):
            line += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
        elif not shutil.which("make"):
            line += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={self._tool('ninja')}"]
        line += [f"-D{option}" for option in OPTIONS]
        if said := run(line):
            shutil.rmtree(self.work / "b", ignore_errors=True)
            raise ConfigError(
                f"the build could not be set up: {_last(said)}",
                cure=f"{toolchain.cure()}; the whole story is in {self.plan.engines / 'build.log'}",
            )

    def _compile(self) -> None:
        line = [
            "nice",
            "-n",
            str(COMPILING_NICE),
            self._cmake(),
            "--build",
            str(self.work / "b"),
            "--target",
            *PROGRAMS,
        ]
        line += ["--parallel", str(toolchain.jobs(examine().available))]
        if said := run(line, self._count):
            raise ConfigError(
                f"compiling failed: {_last(said)}",
                cure=f"see {self.plan.engines / 'build.log'}; the wheel goes on serving meanwhile",
            )

    def _count(self, line: str) -> None:
        if found := _NINJA.match(line):
            self.tell("compile", int(found[1]), int(found[2]))
        elif found := _MAKE.match(line):
            self.tell("compile", int(found[1]), 100)

    def _cmake(self) -> str:
        return shutil.which("cmake") or self._tool("cmake")

    def _tool(self, name: str) -> str:
        """A build tool from the package index, where the system has none."""
        path = self.work / "tools" / "bin" / name
        if not path.exists() and (said := self._pip("install", name)):
            raise ConfigError(
                f"there is no {name} here, and it could not be fetched: {_last(said)}",
                cure=toolchain.cure(),
            )
        return str(path)

    def _install(self) -> None:
        new = self.plan.engines / f".{self.plan.name}.new"
        shutil.rmtree(new, ignore_errors=True)
        (new / "bin").mkdir(parents=True)
        for name in PROGRAMS:
            shutil.copy2(self.work / "b" / "bin" / name, new / "bin" / name)
        shutil.rmtree(self.target, ignore_errors=True)
        write(new, Record(version=self.plan.version))
        new.rename(self.target)
        shutil.rmtree(self.work, ignore_errors=True)

    def _prove(self) -> Proof | None:
        """Compare with the wheel, and choose the build where it deserves it."""
        record = Record(version=self.plan.version)
        if not self.plan.model:
            return None
        native = _server("native", self.plan.version, (str(self.target / "bin/llama-server"),))
        log = self.plan.engines / "proof.log"
        proof = asyncio.run(prove(self._reference(), native, Path(self.plan.model), log))
        write(self.target, msgspec.structs.replace(record, proof=proof))
        if not proof.reason:
            choose_only(Path(self.plan.models), self.target)
        return proof

    def _reference(self) -> Engine:
        if self.plan.reference:
            return _server("wheel", "reference", self.plan.reference)
        for engine in engines(Path(self.plan.models)):
            if engine.name == "wheel":
                return engine
        raise ConfigError(
            "the wheel xllamacpp is not installed, so there is nothing to compare the build with",
            cure="run ./start again, or `haoya models engine use native` to trust it unproven",
        )


def _server(name: Literal["native", "wheel"], version: str, command: Sequence[str]) -> Engine:
    return Engine(name=name, version=version, command=lambda launch: [*command, *arguments(launch)])


def run(line: Sequence[str], heard: Callable[[str], None] | None = None) -> str:
    """Run a command, its words into our log; its last lines where it failed, else nothing."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    print("$", *line, flush=True)
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", env=surroundings.building(),
    ) as child:  # fmt: skip
        assert child.stdout
        for said in child.stdout:
            print(said, end="", flush=True)
            tail.append(said)
            if heard:
                heard(said)
    return ("".join(tail) or f"status {child.returncode}") if child.returncode else ""


@contextmanager
def only_one(engines: Path) -> Generator[bool]:
    """Whether we are the only build of this folder; the lock goes with the process."""
    engines.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (engines / ".build.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _not_fetched(said: str, version: str) -> ConfigError:
    """Why pip brought nothing, by the words it uses."""
    if "DO NOT MATCH THE HASHES" in said:
        return ConfigError(
            f"the index offers another file as {PACKAGE} {version} than the one haoya knows "
            "(its SHA-256 differs); nothing of it was run",
            cure="use an index you trust (pip's setting index-url), or update haoya",
        )
    if "No space left" in said:
        return ConfigError("the disk is full", cure="free some space, then run it again")
    if "Temporary failure" in said or "onnection" in said or "timed out" in said:
        return ConfigError(
            "the package index cannot be reached",
            cure="connect to the network, or set index-url for pip; then run it again",
        )
    if "No matching distribution" in said:
        return ConfigError(
            f"the package index has no {PACKAGE} {version}",
            cure="set another index-url for pip, then run it again",
        )
    return ConfigError(f"pip could not fetch {PACKAGE}: {_last(said)}", cure="see build.log")


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    bad = [line for line in lines if "rror" in line]
    return (bad or lines or ["it said nothing"])[-1][:200]


def main(plan: Plan) -> int:
    """Build; the exit status."""
    os.nice(NICE)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with only_one(plan.engines) as alone:
        if not alone:
            return 0
        build = Build(plan)
        try:
            build.run()
        except HaoyaError as error:
            print(error, flush=True)
            build.tell("failed", error=error)
            return 1
        except OSError as error:
            build.tell(
                "failed", error=ConfigError(f"the system says: {error}", cure="check the disk")
            )
            return 1
        except KeyboardInterrupt:
            build.tell("cancelled")
            return 1
        build.tell("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Plan)))
