# SPDX-License-Identifier: AGPL-3.0-or-later
"""What escapes.py tries to reach, laid out on the real machine, and the two ways to run it."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from haoya.core.sandbox import Bounds, Mount, Program, Sandbox
from tests.sandbox.escapes import BOUNDED, TRIES

SCRIPT = Path(__file__).with_name("escapes.py")
FILE_MIB, MEMORY_MIB = 8, 96
BOUNDS = Bounds(
    seconds=120, memory_mib=MEMORY_MIB, processes=60, file_mib=FILE_MIB, output=1_000_000
)

Found = dict[str, str]


class Baits:
    """Secrets, servers and a process, outside; `facts` is where they are."""

    def __init__(self, folder: Path) -> None:
        self.word = secrets.token_hex(16)
        self.lent = folder / "lent"
        self.read_only = folder / "lent-for-reading"
        self.lent.mkdir()
        self.read_only.mkdir()
        self.secret = self._bait(folder / "secret")
        self.tmp = self._bait(Path(tempfile.gettempdir()) / f"haoya-bait-{self.word}")
        self.home = self._bait(Path.home() / f".haoya-bait-{self.word}")
        (self.lent / "link").symlink_to(self.secret)
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._unix = [self._listening(str(folder / "s")), self._listening(f"{self.lent}/socket")]
        self._abstract = self._listening("\0" + self.word)
        self.victim = subprocess.Popen(["sleep", "600"], env={**os.environ, "BAIT": self.word})
        self.left_open = os.open(self.secret, os.O_RDONLY)
        os.set_inheritable(self.left_open, True)
        self._echo = threading.Thread(target=self._answer, daemon=True)
        self._echo.start()

    @property
    def facts(self) -> dict[str, str]:
        disk = next((str(p) for p in sorted(Path("/dev").glob("[vsn][dv][am]*"))), "/dev/sda")
        return {
            "word": self.word,
            "secret": str(self.secret),
            "home_file": str(self.home),
            "tmp_file": str(self.tmp),
            "lent": str(self.lent),
            "lent_for_reading": str(self.read_only),
            "disk": disk,
            "tcp": str(self._tcp.getsockname()[1]),
            "udp": str(self._udp.getsockname()[1]),
            "unix": str(self.secret.with_name("s")),
            "abstract": self.word,
            "victim": str(self.victim.pid),
            "file_mib": str(FILE_MIB),
            "memory_mib": str(MEMORY_MIB),
        }

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        self._udp.sendto(b"", self._udp.getsockname())
        self._echo.join()
        for line in (self._tcp, self._udp, *self._unix, self._abstract):
            line.close()
        os.close(self.left_open)
        for path in (self.tmp, self.home):
            path.unlink(missing_ok=True)

    def _bait(self, path: Path) -> Path:
        path.write_text(self.word)
        path.chmod(0o600)
        return path

    def _listening(self, path: str) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        line.bind(path)
        line.listen()
        return line

    def _answer(self) -> None:
        while True:
            data, sender = self._udp.recvfrom(10)
            if not data:
                return
            with contextlib.suppress(OSError):
                self._udp.sendto(b"yes", sender)


@contextlib.contextmanager
def laid(folder: Path) -> Iterator[Baits]:
    """Baits for the length of a block."""
    baits = Baits(folder)
    before = os.environ.get("HAOYA_BAIT")
    os.environ["HAOYA_BAIT"] = baits.word
    try:
        yield baits
    finally:
        baits.close()
        os.environ.pop("HAOYA_BAIT")
        if before:
            os.environ["HAOYA_BAIT"] = before


def outside(baits: Baits) -> Found:
    """As any child process of ours."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(baits.facts)],
        stdout=subprocess.PIPE,
        check=True,
        pass_fds=(baits.left_open,),
        timeout=200,
    )
    return json.loads(done.stdout)


async def inside(baits: Baits, sandbox: Sandbox) -> Found:
    """In the sandbox."""
    found = await _run(baits, sandbox, [name for name in TRIES if name not in BOUNDED])
    for name in BOUNDED:
        found |= await _run(baits, sandbox, [name])
    return found


async def _run(baits: Baits, sandbox: Sandbox, names: Sequence[str]) -> Found:
    """Some tries as one program, with Python and the script lent to it."""
    facts, script = baits.facts, str(SCRIPT)
    if sandbox.level == "namespaces":
        facts |= {"lent": "/lent", "lent_for_reading": "/read-only"}
        script = "/escapes.py"
    lent = (
        Mount(path=str(baits.lent), at="/lent", writable=True),
        Mount(path=str(baits.read_only), at="/read-only"),
        Mount(path=str(SCRIPT), at="/escapes.py"),
        *python_mounts(),
    )
    program = Program(
        argv=(python(), script, json.dumps(facts), *names),
        mounts=lent,
        environment={"INSIDE": "1"},
        bounds=BOUNDS,
    )
    async with sandbox.start(program) as process:
        said = {1: b"", 2: b""}
        async for piece in process.output():
            said[piece.stream] += piece.data
        ended = await process.wait()
    if ended.bound:
        return dict.fromkeys(names, f"ended by the bound on {ended.bound}")
    if ended.status:
        raise AssertionError(f"{ended}: {said[2].decode()}")
    return json.loads(said[1])


def python() -> str:
    """The interpreter that runs us, without its virtual environment."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")


def python_mounts() -> tuple[Mount, ...]:
    """What the interpreter needs, where it is no program of the system's."""
    if Path(sys.base_prefix).is_relative_to("/usr"):
        return ()
    return (Mount(path=sys.base_prefix, at=sys.base_prefix),)
