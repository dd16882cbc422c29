# SPDX-License-Identifier: AGPL-3.0-or-later
"""The engines made or found on this machine, each a folder with an `engine.json`.

    engines/llama.cpp-VERSION/engine.json
    {"name": "native", "version": VERSION, "server": "bin/llama-server", "chosen": true,
     "proof": {"model": …, "equal": true, "ratio": 1.4, …}}

At most one is `chosen`; where none is, the wheel runs the models (see `engine.engines`).
"""

import os
import shutil
from pathlib import Path
from typing import Literal

import msgspec

from haoya.core.errors import ConfigError
from haoya.inference.engine import Built
from haoya.inference.hashing import sync_folder

Choice = Literal["wheel", "native", "server"]


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """How a build did beside the wheel, on one model in one run.

    `equal`: whether it says the same. `tokens` were compared, `ties` of them were so near to the
    next best that the two processors' rounding decides. Ratios over 1 are faster: reading a
    prompt, writing an answer, and a turn of both. `reason` says why it was not chosen.
    """

    model: str
    at: float
    equal: bool
    tokens: int = 0
    ties: int = 0
    prompt_ratio: float = 0
    answer_ratio: float = 0
    ratio: float = 0
    reason: str = ""


class Record(Built, frozen=True, kw_only=True):
    """All of `engine.json`."""

    proof: Proof | None = None


def records(models: Path) -> list[tuple[Path, Record]]:
    """The folders of engines with their records, the newest first; unreadable ones left out."""
    found: list[tuple[float, Path, Record]] = []
    for file in models.glob("engines/*/engine.json"):
        try:
            record = msgspec.json.decode(file.read_bytes(), type=Record)
            found.append((file.stat().st_mtime, file.parent, record))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
    return [(folder, record) for _, folder, record in sorted(found, reverse=True)]


def write(folder: Path, record: Record) -> None:
    """Put the record into an engine's folder; it is whole or not there."""
    new = folder / ".engine.json.new"
    with new.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / "engine.json")
    sync_folder(folder)


def choose_only(models: Path, chosen: Path | None) -> None:
    """Let one engine's folder be the chosen one, none for the wheel.

    The others are given up first: a crash in between leaves the wheel, never two.
    """
    there = records(models)
    for folder, record in there:
        if record.chosen and folder != chosen:
            write(folder, msgspec.structs.replace(record, chosen=False))
    for folder, record in there:
        if folder == chosen and not record.chosen:
            write(folder, msgspec.structs.replace(record, chosen=True))


def use(models: Path, wanted: Choice) -> None:
    """Let the owner's choice run the models from the next start of an engine on.

    Raises `ConfigError` where there is no such engine, or it does not say what the wheel says.
    """
    if wanted == "wheel":
        choose_only(models, None)
    elif wanted == "server":
        choose_only(models, _found(models))
    else:
        choose_only(models, _native(models))


def _native(models: Path) -> Path:
    native = [(folder, record) for folder, record in records(models) if record.name == "native"]
    if not native:
        raise ConfigError(
            "no engine was built on this machine yet", cure="run `haoya models engine build`"
        )
    folder, record = native[0]
    if record.proof and not record.proof.equal:
        raise ConfigError(
            f"the engine {folder.name} must not be used: {record.proof.reason}",
            cure="keep the wheel, or build a newer version",
        )
    return folder


def _found(models: Path) -> Path:
    server = shutil.which("llama-server")
    if server is None:
        raise ConfigError(
            "there is no llama-server on the PATH",
            cure="install llama.cpp, or run `haoya models engine build`",
        )
    folder = models / "engines" / "server"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = Path(server).resolve()
    version = str(path.stat().st_mtime_ns)
    write(folder, Record(name="server", version=version, server=str(path)))
    return folder
