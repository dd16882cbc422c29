# SPDX-License-Identifier: AGPL-3.0-or-later
"""The engines of local models, for the command line: what there is, building one, choosing one.

All of it works on files alone, with or without a daemon. A build is a program of its own that
outlives whoever started it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError, HaoyaError, Unready
from haoya.inference import build as builder
from haoya.inference import surroundings
from haoya.inference.build import Plan, State, only_one
from haoya.inference.built import Record, records
from haoya.inference.built import use as choose
from haoya.inference.engine import engines
from haoya.inference.gguf import read
from haoya.inference.store import Store
from haoya.inference.toolchain import check
from haoya.runtime.home import Home
from haoya.runtime.runs import Row

SMALL_BYTES = 100_000_000
"""A model below this is too quick to measure anything by; taken only where no other is there."""

STOP_SECONDS = 10.0
CHOICES = ("wheel", "native", "server")


def build(folder: Path, model: str = "") -> Row:
    """Start a build in the background, or the rest of one; its state.

    Raises `ConfigError` where one is under way, or this machine cannot build.
    """
    home = Home(folder=folder)
    home.prepare()
    plan = Plan(models=str(home.models), model=_proving(Store(home.models), model))
    home.models.mkdir(exist_ok=True, mode=0o700)
    with only_one(plan.engines) as alone:
        if not alone:
            raise ConfigError(
                "an engine is being built already", cure="see `haoya models engine status`"
            )
    check(plan.engines)
    start(plan)
    return status(folder)


def start(plan: Plan) -> int:
    """Start the program that builds, in a session of its own; its process id."""
    with (plan.engines / "build.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", builder.__name__, msgspec.json.encode(plan).decode()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=surroundings.building(),
        )
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        state = _state(plan.engines)
        if state and state.pid == process.pid:
            break
        time.sleep(0.02)
    return process.pid


def status(folder: Path) -> Row:
    """The engines, the one in use first, and how far a build is."""
    models = Home(folder=folder).models
    return {"engines": _engines(models), "build": _build(models / "engines")}


def use(folder: Path, wanted: str) -> Row:
    """Choose an engine; `ConfigError` where there is none such or it must not be used."""
    if wanted not in CHOICES:
        raise ConfigError(
            f"no engine is named {wanted!r}", cure=f"choose one of {', '.join(CHOICES)}"
        )
    choose(Home(folder=folder).models, wanted)
    return status(folder)


def cancel(folder: Path) -> Row:
    """Stop a build; `ConfigError` where none is under way."""
    place = Home(folder=folder).models / "engines"
    state = _state(place)
    if state is None or not _runs(place):
        raise ConfigError("no engine is being built", cure="see `haoya models engine status`")
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(state.pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + STOP_SECONDS
        while _runs(place) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not _runs(place):
            break
    else:
        raise Unready(f"the build (process {state.pid}) does not end")
    return status(folder)


def _engines(models: Path) -> list[Row]:
    rows: list[Row] = []
    made = {(record.name, record.version): (folder, record) for folder, record in records(models)}
    for engine in engines(models):
        place = made.pop((engine.name, engine.version), None)
        rows.append(_row(engine.name, engine.version, place))
    rows += [_row(name, version, place) for (name, version), place in made.items()]
    return [{**row, "in_use": number == 0} for number, row in enumerate(rows)]


def _row(name: str, version: str, place: tuple[Path, Record] | None) -> Row:
    folder, record = place or (None, None)
    proof = record.proof if record else None
    return {
        "name": name,
        "version": version,
        "path": str(folder / record.server) if folder and record else "",
        "chosen": bool(record and record.chosen),
        "proof": msgspec.to_builtins(proof) if proof else None,
    }


def _build(place: Path) -> Row | None:
    state = _state(place)
    if state is None:
        return None
    running = _runs(place)
    ended = state.step in ("done", "failed", "cancelled")
    step = state.step if running or ended else "broken"
    row: Row = {**msgspec.to_builtins(state), "step": step, "running": running}
    return {**row, "log": str(place / "build.log")}


def _state(place: Path) -> State | None:
    try:
        return msgspec.json.decode((place / "build.json").read_bytes(), type=State)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _runs(place: Path) -> bool:
    if not place.exists():
        return False
    with only_one(place) as alone:
        return not alone


def _proving(store: Store, wanted: str) -> str:
    """The file to prove a build on: the model that is named, else the smallest that talks and is
    large enough to measure; empty where there is none."""
    if wanted:
        return str(store.find(wanted).path)
    found: list[tuple[bool, int, str]] = []
    for entry in store.list():
        try:
            talks = read(entry.path).purpose == "chat"
        except HaoyaError:
            continue
        if talks:
            found.append((entry.bytes < SMALL_BYTES, entry.bytes, str(entry.path)))
    return min(found)[2] if found else ""
