# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya models pull`, `quantize` and `convert`: long work that shows how far it is."""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from haoya.cli.lent import Lent
from haoya.cli.models import Target, card, tell, verdict_line
from haoya.cli.progress import Progress, size
from haoya.cli.view import OK
from haoya.cli.words import say
from haoya.runtime.shelf import Shelf, Step, Wish

AsName = Annotated[str, Parameter(help=say("option.as_name"))]


def pull(
    reference: Annotated[str, Parameter(help=say("option.reference"))],
    /,
    *,
    name: AsName = "",
    context: Annotated[int, Parameter(help=say("option.context"))] = 8192,
    sessions: Annotated[int, Parameter(help=say("option.sessions"))] = 1,
    anyway: Annotated[bool, Parameter(negative="", help=say("option.anyway"))] = False,
    view: Lent,
) -> int:
    """Fetch a model from Hugging Face, ModelScope or Ollama; goes on where it was left."""
    progress = Progress(view)

    def told(step: Step) -> None:
        if step.event == "bytes":
            progress.at(step.file, step.have, step.total)
            return
        progress.event(msgspec.to_builtins(_event(step)))
        match step.event:
            case "plan":
                progress.note(say("pull.plan", source=step.text, size=size(step.total)))
            case "fit" if step.fit and step.advice:
                total, free = step.fit.total, step.advice.available
                progress.note(verdict_line(step.advice.verdict, total, free))
            case _:
                progress.note(
                    say("pull.checked", file=step.file)
                    if step.text
                    else say("pull.unchecked", file=step.file)
                )

    def waits(reason: str, seconds: float) -> None:
        progress.event({"event": "waiting", "text": reason, "seconds": seconds})
        progress.note(say("pull.waiting", reason=reason, seconds=round(seconds, 1)))

    wish = Wish(
        reference=reference, name=name, context_tokens=context, sessions=sessions, anyway=anyway
    )
    try:
        model = Shelf(view.home).pull(wish, told, waits)
    finally:
        progress.end()
    tell(view, model)
    return OK


def quantize(
    target: Target,
    /,
    *,
    type: Annotated[str, Parameter(help=say("option.quantisation"))] = "q4_k_m",
    name: AsName = "",
    view: Lent,
) -> int:
    """Make a model smaller and faster; the one it is made from stays."""
    progress = Progress(view)
    try:
        model, smaller = Shelf(view.home).quantize(
            target, type, name, lambda have, total: progress.at(type, have, total)
        )
    finally:
        progress.end()
    if view.json:
        made = msgspec.structs.asdict(smaller) | {"saved": round(smaller.saved, 4)}
        del made["path"]
        view.document(msgspec.to_builtins(card(model)) | {"made": made})
        return OK
    view.print(
        say(
            "quantize.done",
            before=size(smaller.before),
            after=size(smaller.after),
            saved=f"{smaller.saved:.0%}",
            times=f"{smaller.before / smaller.after:.1f}",
        )
    )
    tell(view, model)
    return OK


def convert(
    folder: Annotated[Path, Parameter(help=say("option.folder"))],
    /,
    *,
    name: AsName = "",
    view: Lent,
) -> int:
    """Make a GGUF model of a folder in Hugging Face's form (llama and qwen families)."""
    progress = Progress(view)
    try:
        model = Shelf(view.home).convert(
            folder, name, lambda have, total: progress.at(folder.name, have, total)
        )
    finally:
        progress.end()
    tell(view, model)
    if not view.json:
        view.print(say("convert.next", name=model.entry.name))
    return OK


class _Event(msgspec.Struct, omit_defaults=True):
    """A step as a JSON line; sizes in bytes, `memory` what the model takes of `available`."""

    event: str
    file: str = ""
    total: int = 0
    text: str = ""
    verdict: str = ""
    memory: int = 0
    available: int = 0


def _event(step: Step) -> _Event:
    event = _Event(event=step.event, file=step.file, total=step.total, text=step.text)
    if step.fit and step.advice:
        event.verdict, event.memory = step.advice.verdict, step.fit.total
        event.available = step.advice.available
    return event
