# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya models`: which models lie on this machine, what they are, and whether they fit."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from haoya.cli.chosen import choose
from haoya.cli.lent import Lent
from haoya.cli.progress import size
from haoya.cli.view import FINDINGS, OK, View, clock, paint, table
from haoya.cli.words import say
from haoya.core.errors import ConfigError
from haoya.runtime.shelf import Model, Shelf, Suits

ModelName = Annotated[str, Parameter(help=say("option.model_name"))]
Target = Annotated[str, Parameter(help=say("option.target"))]


def list_models(*, view: Lent) -> int:
    """Show the models on this machine and downloads that were left before their end."""
    shelf = Shelf(view.home)
    models, left = shelf.models(), shelf.unfinished()
    if view.json:
        rows = [card(one) for one in models]
        view.document(msgspec.to_builtins({"models": rows, "unfinished": left}))
        return OK
    view.print(*(table([_row(one) for one in models]) or [say("models.none")]))
    if left:
        view.print("", paint(say("models.unfinished"), "bold"))
        rows = [(one.name, f"{size(one.have)} / {size(one.total)}", one.source) for one in left]
        view.print(*table(rows), say("models.go_on", source=left[0].source))
    return OK


def info(
    target: Target,
    /,
    *,
    tensors: Annotated[bool, Parameter(negative="", help=say("option.tensors"))] = False,
    verify: Annotated[bool, Parameter(negative="", help=say("option.verify"))] = False,
    view: Lent,
) -> int:
    """Show what a model is; with --verify read its files through and compare their digests."""
    shelf = Shelf(view.home)
    gguf = shelf.look(target)
    wrong = shelf.verify(target) if verify else []
    found = msgspec.to_builtins(msgspec.structs.asdict(gguf))
    if not tensors:
        del found["tensors"]
    if view.json:
        view.document(found | ({"wrong": wrong} if verify else {}))
        return FINDINGS if wrong else OK
    found |= {
        "bytes": size(gguf.bytes),
        "parameters": _count(gguf.parameters),
        "kv_heads": max(gguf.kv_heads, default=0),
        "chat_template": say("yes") if gguf.chat_template else say("no"),
        "tensors": len(gguf.tensors),
    }
    view.print(*table([(key, str(value)) for key, value in found.items() if value]))
    if tensors:
        rows = [(t.name, t.type, "×".join(map(str, t.shape)), size(t.bytes)) for t in gguf.tensors]
        view.print("", *table(rows))
    if verify:
        view.print("", *(wrong or [say("models.whole")]))
    return FINDINGS if wrong else OK


def fit(
    target: Target,
    /,
    *,
    context: Annotated[int, Parameter(help=say("option.context"))] = 8192,
    sessions: Annotated[int, Parameter(help=say("option.sessions"))] = 1,
    cache: Annotated[str, Parameter(help=say("option.cache"))] = "f16",
    repack: Annotated[bool, Parameter(negative="", help=say("option.repack"))] = False,
    view: Lent,
) -> int:
    """Tell whether a model fits into this machine's memory; leaves with 5 where it does not."""
    if context < 1 or sessions < 1:
        raise ConfigError(say("fit.least"), cure="haoya models fit NAME --context 8192")
    suits = Shelf(view.home).suits(
        target, context_tokens=context, sessions=sessions, cache_type=cache, repack=repack
    )
    if view.json:
        view.document(
            {
                "verdict": suits.advice.verdict,
                "total": suits.fit.total,
                "resident": suits.fit.resident,
                "fit": msgspec.to_builtins(suits.fit),
                "advice": msgspec.to_builtins(suits.advice),
                "machine": msgspec.to_builtins(suits.machine),
            }
        )
    else:
        view.print(*fit_lines(suits))
    return FINDINGS if suits.advice.verdict == "too big" else OK


def add(
    file: Annotated[Path, Parameter(help=say("option.gguf"))],
    /,
    *,
    name: Annotated[str, Parameter(help=say("option.as_name"))] = "",
    to: Annotated[str, Parameter(help=say("option.to"))] = "",
    kind: Annotated[
        Literal["mmproj", "lora", "draft"] | None, Parameter(name="--as", help=say("option.kind"))
    ] = None,
    view: Lent,
) -> int:
    """Take in a GGUF file, or with --to put it beside a model that is here."""
    shelf = Shelf(view.home)
    model = shelf.attach(file, to, kind) if to else shelf.add(file, name)
    tell(view, model)
    return OK


def remove(
    name: ModelName,
    /,
    *,
    force: Annotated[bool, Parameter(negative="", help=say("option.force_remove"))] = False,
    view: Lent,
) -> int:
    """Remove a model, or a download that was left before its end."""
    freed = Shelf(view.home).remove(name, force=force)
    if view.json:
        view.document({"name": name, "freed": freed})
    else:
        view.print(say("models.removed", name=name, size=size(freed)))
    return OK


def use(
    name: ModelName,
    /,
    *,
    section: Annotated[str, Parameter(name="--as", help=say("option.section"))] = "main",
    view: Lent,
) -> int:
    """Have the agent think with a model that is here."""
    model = Shelf(view.home).model(name)
    if model.gguf is None or model.gguf.purpose not in ("chat", "embedding"):
        raise ConfigError(
            say("models.no_model", name=name), cure=say("models.no_model.cure", name=name)
        )
    chosen = name if Path(name).is_absolute() else model.entry.name
    moved, running = choose(view.home, chosen, section)
    if view.json:
        view.document({"model": chosen, "section": section, "moved": moved, "running": running})
        return OK
    view.print(say("use.done", name=chosen, section=section))
    if moved:
        view.print(say("use.moved", section=section, moved=moved))
    view.print(say("use.running") if running else say("use.stopped"))
    return OK


def tell(view: View, model: Model) -> None:
    """Show the one model a command brought or changed."""
    if view.json:
        view.document(msgspec.to_builtins(card(model)))
    else:
        view.print(say("models.here", name=model.entry.name, size=size(model.entry.bytes)))
        if not model.used_by and model.gguf and model.gguf.purpose == "chat":
            view.print(say("models.next", name=model.entry.name))


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A model as a program is told of it."""

    name: str
    path: str
    sha256: str
    bytes: int
    source: str
    added: float
    used_by: tuple[str, ...]
    sidecars: tuple[tuple[str, str], ...]
    """Kind and path of each."""
    architecture: str = ""
    quantisation: str = ""
    parameters: int = 0
    context_tokens: int = 0
    purpose: str = ""


def card(model: Model) -> Card:
    """A model in the form of `--json`."""
    entry, gguf = model.entry, model.gguf
    return Card(
        name=entry.name,
        path=str(entry.path),
        sha256=entry.sha256,
        bytes=entry.bytes,
        source=entry.source,
        added=entry.added,
        used_by=model.used_by,
        sidecars=tuple((one.kind, str(one.file.path)) for one in entry.sidecars),
        architecture=gguf.architecture if gguf else "",
        quantisation=gguf.quantisation if gguf else "",
        parameters=gguf.parameters if gguf else 0,
        context_tokens=gguf.context_tokens if gguf else 0,
        purpose=gguf.purpose if gguf else "",
    )


def fit_lines(suits: Suits) -> list[str]:
    """How a model suits this machine, in words."""
    fit, advice, machine = suits.fit, suits.advice, suits.machine
    lines = [
        verdict_line(advice.verdict, fit.total, advice.available),
        say(
            "fit.parts",
            weights=size(fit.weights + fit.repacked),
            cache=size(fit.cache),
            context=fit.context_tokens,
            sessions=fit.sessions,
            work=size(fit.compute + fit.engine),
        ),
    ]
    match advice.cure:
        case "context":
            lines.append(say("fit.context", tokens=advice.context_tokens))
        case "cache":
            lines.append(say("fit.cache"))
        case "model":
            lines.append(say("fit.model"))
        case _:
            most = fit.context_within(advice.available)
            lines.append(say("fit.most", tokens=most))
    if machine.limit:
        lines.append(say("fit.limit", memory=size(machine.memory)))
    lines += [say("fit.gpu", name=one.name, free=size(one.free)) for one in machine.gpus]
    return lines


def verdict_line(verdict: str, total: int, available: int) -> str:
    """The verdict, in its colour."""
    sizes = {"total": size(total), "available": size(available)}
    match verdict:
        case "fits":
            return paint(say("fit.fits", **sizes), "green")
        case "tight":
            return paint(say("fit.tight", **sizes), "yellow")
        case _:
            return paint(say("fit.big", **sizes), "red")


def _row(model: Model) -> tuple[str, ...]:
    entry, gguf = model.entry, model.gguf
    kinds = "+".join(sorted({one.kind for one in entry.sidecars}))
    return (
        paint(entry.name, "bold"),
        size(entry.bytes),
        gguf.quantisation if gguf else say("models.broken"),
        _count(gguf.parameters) if gguf else "",
        f"{gguf.context_tokens // 1024}k" if gguf and gguf.context_tokens else "",
        " ".join((*(f"[{section}]" for section in model.used_by), kinds)).strip(),
        f"{clock(entry.added)}  {entry.source}",
    )


def _count(number: int) -> str:
    """A number of parameters as people say it.

    >>> _count(494_000_000), _count(7_600_000_000)
    ('494M', '7.6B')
    """
    if number < 1_000_000_000:
        return f"{number / 1e6:.3g}M"
    return f"{number / 1e9:.3g}B"
