# SPDX-License-Identifier: AGPL-3.0-or-later
"""A key that only this machine's TPM 2.0 can unseal, through the system's `tpm2-tools`.

It is sealed under the storage root key and to no PCR, so that firmware updates do not lock the
owner out: a stolen disk or a copy stays shut, another system started on this very machine does
not. HAOYA_TPM names another way to a TPM than /dev/tpmrm0 (a TCTI, such as `swtpm:port=2321`).
The key goes through pipes only; the files beside it are the TPM's own sealed forms.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError, Unready

DEVICE = Path("/dev/tpmrm0")
VARIABLE = "HAOYA_TPM"
SECONDS = 30.0


class _Sealed(msgspec.Struct, frozen=True):
    """The two halves of a sealed object, as the TPM gave them."""

    public: bytes
    private: bytes


def lacks() -> str:
    """Why there is no TPM to use, "" where there is one."""
    if not os.environ.get(VARIABLE) and not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"there is no TPM 2.0 at {DEVICE} that this user may use"
    if shutil.which("tpm2") is None:
        return "there is a TPM 2.0, but the system's package tpm2-tools is not installed"
    return ""


def seal(key: bytes) -> bytes:
    """The key as only this TPM can read it; Unready where it refuses."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _primary(folder)
        _run(folder, "create", *"-Q -C primary -i - -u public -r private".split(), text=key)
        public, private = ((folder / half).read_bytes() for half in ("public", "private"))
        return msgspec.msgpack.encode(_Sealed(public, private))


def unseal(blob: bytes) -> bytes:
    """The key back; Unready where there is no TPM now, ConfigError where it is another one."""
    if why := lacks():
        raise Unready(f"the vault's key is sealed by a TPM: {why}")
    sealed = msgspec.msgpack.decode(blob, type=_Sealed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _primary(folder)
        (folder / "public").write_bytes(sealed.public)
        (folder / "private").write_bytes(sealed.private)
        try:
            _run(folder, "load", *"-Q -C primary -u public -r private -c sealed".split())
        except Unready as error:
            raise ConfigError(
                f"this machine's TPM did not seal the vault's key ({error})",
                cure="use the recovery key: `haoya secrets recover`",
            ) from None
        return _run(folder, "unseal", *"-c sealed".split())


def _primary(folder: Path) -> None:
    """The storage root key: the same on every call, made from the TPM's own seed."""
    _run(folder, "createprimary", *"-Q -C o -G ecc -c primary".split())


def _run(folder: Path, tool: str, *arguments: str, text: bytes = b"") -> bytes:
    said = _say(folder, tool, *arguments, text=text)
    if os.environ.get(VARIABLE, "").startswith(("swtpm", "mssim")):
        # No resource manager stands before a TPM in software: what was loaded stays loaded.
        _say(folder, "flushcontext", "-t")
    return said


def _say(folder: Path, tool: str, *arguments: str, text: bytes = b"") -> bytes:
    way = os.environ.get(VARIABLE) or f"device:{DEVICE}"
    program = shutil.which("tpm2") or "tpm2"
    try:
        done = subprocess.run(
            [program, tool, *arguments],
            input=text,
            capture_output=True,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "TPM2TOOLS_TCTI": way},
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unready(f"the TPM cannot be reached: {type(error).__name__}") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = [line for line in lines if "tpm:" in line] or lines[-1:] or ["no words"]
        raise Unready(f"the TPM refused `tpm2 {tool}`: {said[0][:200]}")
    return done.stdout
