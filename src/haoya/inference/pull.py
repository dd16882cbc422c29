# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fetch a model by its reference into the store: looked at first, resumed, verified.

Nothing here runs by itself; somebody asked for this model.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from haoya.core.errors import ConfigError, Unready
from haoya.core.message import Word
from haoya.inference.entry import Entry, Held, Sidecar
from haoya.inference.fetch import Fetch
from haoya.inference.fit import Advice, Fit, advise, estimate
from haoya.inference.gguf import Gguf, describe, read_header
from haoya.inference.hashing import sync_folder
from haoya.inference.hubs import Plan, Remote, resolve
from haoya.inference.machine import Machine
from haoya.inference.store import Store
from haoya.inference.web import Hub, Web

SPARE_BYTES = 64 << 20
"""What must stay free on the disk beside the model."""


class Step(Word, frozen=True, kw_only=True):
    """What a long piece of work is at.

    `plan` tells what will be fetched, `fit` how the model suits this machine, `bytes` that so
    many of `total` are there, `checked` that a file's digest is right, `waiting` that the
    other side failed (`text`) and is asked again after `seconds`.
    """

    event: Literal["plan", "fit", "bytes", "checked", "waiting"]
    file: str = ""
    have: int = 0
    total: int = 0
    text: str = ""
    seconds: float = 0
    fit: Fit | None = None
    advice: Advice | None = None
    gguf: Gguf | None = None


Told = Callable[[Step], None]


class Wish(Word, frozen=True, kw_only=True):
    """What is asked for: the model, the name it is to have ("": its file's), the context and
    the sessions it is to serve, and whether it is wanted even where it does not fit."""

    reference: str
    name: str = ""
    context_tokens: int = 8192
    sessions: int = 1
    anyway: bool = False


class Unfinished(Word, frozen=True, kw_only=True):
    """A download that was left before its end."""

    name: str
    source: str
    have: int
    total: int


class _Kept(Word, frozen=True, kw_only=True):
    """`partial/NAME/plan.json`."""

    plan: Plan


def pull(
    wish: Wish, store: Store, hubs: Mapping[str, Hub], web: Web, *, machine: Machine, told: Told
) -> Entry:
    """Bring the model here, going on where an earlier attempt was left.

    Raises `ConfigError` where it cannot be had, does not fit, or the disk is full, and `Unready`
    where the registry cannot be reached; what has been fetched is kept.
    """
    plan = resolve(wish.reference, dict(hubs), web)
    name = store.check_name(wish.name or plan.name)
    told(Step(event="plan", file=name, total=plan.bytes, text=plan.source))
    folder = store.partial / name
    if not _is_there(plan, name, store):
        with claimed(folder):
            fetches = list(_fetches(plan, folder, store, hubs, web))
            _remember(plan, folder)
            _check_room(plan, fetches, store)
            _look(wish, plan, fetches, machine=machine, told=told)
            fresh = [(one.part, _whole(one, told)) for one in fetches]
            entry = _enter(name, plan, fresh, store)
            shutil.rmtree(folder)
            return entry
    return store.find(name)


def look(reference: str, hubs: Mapping[str, Hub], web: Web, folder: Path) -> tuple[Plan, Gguf]:
    """What a model of a registry's is, from its first bytes; `folder` holds them for a while."""
    plan = resolve(reference, dict(hubs), web)
    hub = hubs[reference.partition(":")[0]]
    models = [one for one in plan.files if one.role == "model"]
    folder.mkdir(parents=True, exist_ok=True)
    headers = [
        Fetch(web, hub, reference.partition(":")[2], one, folder / f"{place}.part").header()
        for place, one in enumerate(models)
    ]
    return plan, describe(headers[0], headers[1:], name=models[0].name)


def unfinished(store: Store) -> tuple[Unfinished, ...]:
    """Downloads that were left before their end."""
    found: dict[str, Unfinished] = {}
    for path in sorted(store.partial.glob("*/plan.json")):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            plan = msgspec.json.decode(path.read_bytes(), type=_Kept).plan
            parts = sum(part.stat().st_size for part in path.parent.glob("*.part"))
            found[path.parent.name] = Unfinished(
                name=path.parent.name, source=plan.source, have=parts, total=plan.bytes
            )
    return tuple(found.values())


@contextlib.contextmanager
def claimed(folder: Path) -> Generator[None]:
    """Be the only one who fills a folder; the claim goes with the process."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unready(f"{folder.name} is being fetched by another process") from None
        yield


def _is_there(plan: Plan, name: str, store: Store) -> bool:
    wanted = [one.sha256 for one in plan.files if one.role == "model"]
    with contextlib.suppress(ConfigError):
        entry = store.find(name)
        return [one.sha256 for one in entry.files] == wanted and all(
            one.path.exists() for one in entry.files
        )
    return False


def _fetches(
    plan: Plan, folder: Path, store: Store, hubs: Mapping[str, Hub], web: Web
) -> Iterator[Fetch]:
    """One for each file. A part is named by its digest, so that a newer file of the registry's
    never grows out of an older one; a file that the store has already is linked."""
    hub = hubs[plan.source.partition(":")[0]]
    what = plan.source.partition(":")[2]
    for place, remote in enumerate(plan.files):
        part = folder / f"{remote.sha256 or f'{place}-{remote.bytes}'}.part"
        blob = store.blob(remote.sha256)
        if remote.sha256 and blob.exists() and blob.stat().st_size == remote.bytes:
            part.unlink(missing_ok=True)
            part.hardlink_to(blob)
        yield Fetch(web, hub, what, remote, part)


def _remember(plan: Plan, folder: Path) -> None:
    new = folder / "plan.new"
    new.write_bytes(msgspec.json.encode(_Kept(plan=plan)))
    new.replace(folder / "plan.json")
    sync_folder(folder)


def _check_room(plan: Plan, fetches: list[Fetch], store: Store) -> None:
    missing = plan.bytes - sum(min(one.have, one.remote.bytes) for one in fetches)
    free = shutil.disk_usage(store.folder).free
    if missing and missing + SPARE_BYTES > free:
        raise ConfigError(
            f"the disk of {store.folder} has {free:,} bytes free, "
            f"{plan.source} needs {missing + SPARE_BYTES:,}",
            cure="make room (see `haoya models list` and `haoya models rm`), or choose a smaller "
            "quantisation",
        )


def _look(wish: Wish, plan: Plan, fetches: list[Fetch], *, machine: Machine, told: Told) -> None:
    """Tell how the model suits this machine; it is not fetched where it does not fit."""
    headers = [one.header() for one in fetches if one.remote.role == "model"]
    gguf = describe(headers[0], headers[1:], name=fetches[0].remote.name)
    fit = estimate(gguf, context_tokens=wish.context_tokens, sessions=wish.sessions)
    advice = advise(gguf, fit, available=machine.available, memory=machine.memory)
    told(Step(event="fit", fit=fit, advice=advice, gguf=gguf))
    if advice.verdict == "too big" and not wish.anyway:
        raise ConfigError(
            f"{plan.source} is too big for this machine: it takes {fit.total:,} bytes of memory, "
            f"{machine.available:,} are free",
            cure="choose a smaller model or quantisation, or fetch it all the same with --anyway",
        )


def _whole(fetch: Fetch, told: Told) -> Held:
    remote = fetch.remote

    def grown(have: int) -> None:
        told(Step(event="bytes", file=remote.name, have=have, total=remote.bytes))

    digest = fetch.whole(grown)
    read_header(fetch.part)
    told(Step(event="checked", file=remote.name, total=remote.bytes, text=remote.sha256 and digest))
    return Held(name=remote.name, sha256=digest, bytes=remote.bytes)


def _enter(name: str, plan: Plan, fresh: list[tuple[Path, Held]], store: Store) -> Entry:
    roles: list[tuple[Remote, Held]] = [
        (remote, held) for remote, (_, held) in zip(plan.files, fresh, strict=True)
    ]
    return store.enter(
        name,
        [held for remote, held in roles if remote.role == "model"],
        sidecars=[
            Sidecar(kind=remote.role, file=held) for remote, held in roles if remote.role != "model"
        ],
        source=plan.source,
        fresh=fresh,
    )
