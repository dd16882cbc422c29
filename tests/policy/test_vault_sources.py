# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keys from a TPM (in software) and from a real keyring, where this machine can have them."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from haoya.core.errors import ConfigError, Unready
from haoya.policy.vault import envelope, sources, tpm
from haoya.policy.vault.words import Value

ID = "7a" * 16
SECONDS = 20


class SoftTpm:
    """swtpm: a TPM 2.0 in software, its state in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = _free_pair()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Turn it on; how to reach it."""
        self.process = subprocess.Popen(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}"),
                *("--server", f"type=tcp,port={self.port}"),
                *("--ctrl", f"type=tcp,port={self.port + 1}"),
                *("--flags", "not-need-init,startup-clear"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + SECONDS
        while not _listens(self.port + 1):
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        return f"swtpm:port={self.port}"

    def stop(self) -> None:
        """Turn it off."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(SECONDS)


def _listens(port: int) -> bool:
    """Whether the kernel lists a listener; asking by connecting would take its one connection."""
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text("ascii")


def _free_pair() -> int:
    """A port whose next one is free too: the library wants the control channel there."""
    for _ in range(50):
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise AssertionError("no two free ports in a row")


@pytest.fixture
def chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftTpm]:
    if not shutil.which("swtpm") or not shutil.which("tpm2"):
        pytest.skip("swtpm and tpm2-tools are not installed: no TPM to speak to")
    one = SoftTpm(tmp_path / "tpm")
    monkeypatch.setenv("HAOYA_TPM", one.start())
    yield one
    one.stop()


def test_where_there_is_a_tpm_it_is_chosen_unasked_and_holds_the_key(chip: SoftTpm) -> None:
    assert sources.best()[0] == "tpm"
    lock, key = sources.new_lock("tpm", ID)
    assert key not in lock.blob and key not in msgspec.json.encode(lock)
    vault = envelope.create(ID, "aes-256-gcm", lock, key).put(Value(name="a", text="b"), 1.0).vault
    chip.stop()
    with pytest.raises(Unready, match="TPM"):
        sources.key_of(vault.lock)
    chip.start()  # as after a restart of the machine
    assert envelope.unlock(vault, sources.key_of(vault.lock)).values()["a"].text == "b"


def test_another_machines_tpm_does_not_open_it(
    chip: SoftTpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, _ = sources.new_lock("tpm", ID)
    other = SoftTpm(tmp_path / "other")
    monkeypatch.setenv("HAOYA_TPM", other.start())
    try:
        with pytest.raises(ConfigError, match="did not seal") as caught:
            sources.key_of(lock)
        assert "haoya secrets recover" in caught.value.cure
    finally:
        other.stop()


def test_without_a_tpm_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAOYA_TPM", raising=False)
    if tpm.DEVICE.exists():
        pytest.skip("this machine has a TPM")
    assert str(tpm.DEVICE) in tpm.lacks()
    with pytest.raises(ConfigError, match="no TPM") as caught:
        sources.best("tpm")
    assert "choose another" in caught.value.cure


ASK = """
from haoya.policy.vault import keyring, sources
print(keyring.lacks())
print(sources.best()[0])
"""


@pytest.mark.parametrize(
    "backend", ["", "keyring.backends.null.Keyring", "keyring.backends.fail.Keyring"]
)
def test_a_backend_that_keeps_nothing_is_no_keyring(backend: str) -> None:
    """On a machine without a desktop the library answers with one that only fails."""
    environment = {"PATH": os.defpath, "HOME": "/nonexistent"}
    if backend:
        environment["PYTHON_KEYRING_BACKEND"] = backend
    done = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines() == ["no keyring of this system can be reached", "file"]


REAL = """
import sys
from haoya.policy.vault import sources
print(sources.best()[0])
lock, key = sources.new_lock("keyring", sys.argv[1])
assert sources.key_of(lock) == key
sources.forget(lock)
try:
    sources.key_of(lock)
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_real_keyring_keeps_the_key_and_forgets_it(tmp_path: Path) -> None:
    needed = ("dbus-run-session", "gnome-keyring-daemon")
    if missing := [name for name in needed if not shutil.which(name)]:
        pytest.skip(f"not installed, so no keyring to speak to: {', '.join(missing)}")
    script = tmp_path / "real.py"
    script.write_text(REAL)
    line = (
        "printf pass | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; "
        f"exec {sys.executable} {script} {ID}"
    )
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", line],
        capture_output=True, text=True, env=environment, timeout=SECONDS * 3, check=False,
    )  # fmt: skip
    if not done.stdout.startswith("keyring"):
        pytest.skip(f"the keyring's daemon does not run here: {done.stdout} {done.stderr[-300:]}")
    assert done.stdout.splitlines() == [
        "keyring",
        "ConfigError the keyring has no key for this vault",
    ]
