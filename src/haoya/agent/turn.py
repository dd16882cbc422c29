# SPDX-License-Identifier: AGPL-3.0-or-later
"""A turn: a conversation in, a stream of events out.

`turn` does no I/O of its own; it is lent models, tools and a judge. Each step it yields is a
tuple of events that belong into the journal together. The caller writes them and only then asks
for the next step, so that everything stands written before the next thing is done.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from haoya.agent.budget import PROMPT_SHARE, Group, fit, line_tokens, tools_tokens
from haoya.agent.transcript import OpenCall, answered_line, returned_line
from haoya.core.errors import HaoyaError, Rejected, Unready
from haoya.core.event import (
    Event,
    ModelAnswered,
    ModelAsked,
    ModelFailed,
    ToolAsked,
    ToolJudged,
    ToolReturned,
    ToolStarted,
)
from haoya.core.phrases import Language, phrase
from haoya.core.ports import Hedges, Model, Tool
from haoya.core.tool import (
    CallDelta,
    Delta,
    Finish,
    Line,
    Prompt,
    Scene,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Urgency,
    Usage,
    Verdict,
)

TOOL_SECONDS = 120.0
"""The longest one tool may run before the turn goes on without it."""

RESULT_CHARACTERS = 16_000
"""What the model is shown of one result; about 4,000 tokens."""


class Lent(msgspec.Struct, frozen=True, kw_only=True):
    """What the house lends a turn. `models` in the order of failover: all steps ask the same one
    while it answers (it has the turn in its cache), one that failed goes to the end. `judge` is a
    function of the tool's spec and the call, `system` the whole system prompt, `max_steps` model
    calls a turn."""

    models: Sequence[tuple[str, Model]]
    tools: Mapping[str, Tool[Any]]
    judge: Callable[[ToolSpec | None, ToolCall], Verdict]
    system: str
    scene: Callable[[str], Scene]
    why: Mapping[str, str] = {}
    """Why each model stands where it does, for the owner."""
    urgency: Urgency = "chat"
    language: Language = "en"
    max_steps: int = 12
    trouble: str = ""
    """Why there is no model, where `models` is empty and the reason is known."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The turn's last word; the caller makes it the `Said` that ends the turn."""

    text: str


class AskOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The turn pauses here until the owner has decided about `call`."""

    call: ToolCall
    spec: ToolSpec
    verdict: Verdict


class Retracted(msgspec.Struct, frozen=True, kw_only=True):
    """The words streamed so far are void: another model begins anew."""


Step = tuple[Event | Answer | AskOwner, ...]


async def turn(
    number: int,
    groups: Sequence[Group],
    pending: Sequence[OpenCall],
    lent: Lent,
    *,
    taken: int = 0,
) -> AsyncGenerator[Step | TextDelta | Retracted, None]:
    """Think until there is an answer.

    `number` is the turn, `groups` its history, `pending` the calls a crash or a question left
    open, `taken` the steps it had taken before: they count, and the ids of calls go on from there,
    for a call's id is the key of its effect. Yields steps to be written, and words as they stream
    (ephemeral). Ends after a step with `Answer` or `AskOwner`.
    """
    thinking = _Turn(number, list(groups), lent)
    if pending:
        async for step in thinking.finish(pending):
            yield step
            if _pauses(step):
                return
    for step_number in range(taken + 1, lent.max_steps + 1):
        asked: tuple[ToolCall, ...] = ()
        async with aclosing(thinking.think(step_number)) as steps:
            async for step in steps:
                yield step
                if isinstance(step, tuple):
                    if any(isinstance(item, Answer) for item in step):
                        return
                    asked = tuple(item.call for item in step if isinstance(item, ToolAsked))
        async for step in thinking.finish([OpenCall(call=call) for call in asked]):
            yield step
            if _pauses(step):
                return
    text = phrase("steps", lent.language, steps=lent.max_steps)
    yield (Answer(text=text),)


class _Turn:
    """The state of one turn: the lines so far and what was lent."""

    def __init__(self, number: int, groups: list[Group], lent: Lent) -> None:
        self.number = number
        self.groups = groups
        self.lent = lent
        self.models = list(lent.models)
        self.specs = tuple(tool.spec for tool in lent.tools.values())

    async def think(self, step: int) -> AsyncGenerator[Step | TextDelta | Retracted, None]:
        """Ask the models one after the other until one has answered."""
        refusal, failure = "", ""
        waiting = list(self.models)
        retried = False
        while waiting:
            pair = waiting.pop(0)
            model = pair[1]
            name = _speaker(*pair)
            prompt, since, estimate = self.prompt(model)
            why = self.lent.why.get(name, "")
            yield (
                ModelAsked(
                    turn=self.number,
                    step=step,
                    model=name,
                    since=since,
                    prompt_tokens=estimate,
                    why=why,
                ),
            )
            said = _Said(name)
            try:
                async with aclosing(model.stream(prompt)) as deltas:
                    async for delta in deltas:
                        if words := said.take(delta):
                            yield words
            except (Unready, Rejected) as error:
                if said.text:
                    yield Retracted()
                yield (_failed(self.number, step, _speaker(*pair), error),)
                if isinstance(error, Rejected):
                    refusal = refusal or str(error)
                failure = failure or str(error)
                if isinstance(error, Unready) and error.again and not retried:
                    retried = True
                    waiting.insert(0, pair)
                else:
                    self.models.remove(pair)
                    self.models.append(pair)
                continue
            said.model = _speaker(*pair)
            yield self.conclude(step, said)
            return
        yield (Answer(text=self.apology(refusal, failure)),)

    def conclude(self, step: int, said: "_Said") -> Step:
        """The step that records what a model said: calls to run, or the answer."""
        answered = said.event(self.number, step)
        line = answered_line(answered)
        self.groups.append(Group(number=self.number, lines=(line,)))
        if answered.calls:
            calls = [ToolAsked(turn=self.number, call=call) for call in answered.calls]
            return (answered, *calls)
        text = answered.text.strip() or phrase("empty", self.lent.language)
        return (answered, Answer(text=text))

    def prompt(self, model: Model) -> tuple[Prompt, int, int]:
        """What a model is asked, the number its lines begin at, and its estimated tokens."""
        system = Line(role="system", text=self.lent.system)
        fixed = line_tokens(system) + tools_tokens(self.specs)
        room = max(256, int(model.context_tokens * PROMPT_SHARE) - fixed)
        kept = self.with_question(fit(self.groups, room))
        lines = (system, *(line for group in kept for line in group.lines))
        estimate = fixed + sum(group.tokens for group in kept)
        # Not the first one's: an answer has a higher number than words that came meanwhile.
        since = min((group.number for group in kept), default=self.number)
        scene = self.lent.scene("")
        prompt = Prompt(
            lines=lines,
            tools=self.specs,
            conversation=scene.address.key,
            person=scene.person,
            urgency=self.lent.urgency,
        )
        return prompt, since, estimate

    def with_question(self, kept: Sequence[Group]) -> Sequence[Group]:
        """What fits, and before it the words to be answered where long results drove them out."""
        if any(group.lines[0].role == "user" for group in kept):
            return kept
        asked = [group for group in self.groups if group.lines[0].role == "user"]
        return [*asked[-1:], *kept]

    def apology(self, refusal: str, failure: str) -> str:
        """What a person is told when no model answered."""
        if not self.lent.models and self.lent.trouble:
            return phrase("model-parked", self.lent.language, reason=self.lent.trouble)
        if not self.lent.models:
            return phrase("no-model", self.lent.language)
        if refusal:
            return phrase("model-refused", self.lent.language, reason=refusal)
        return phrase("model-down", self.lent.language, reason=failure, number=self.number)

    async def finish(self, pending: Sequence[OpenCall]) -> AsyncGenerator[Step, None]:
        """Bring each open call to its result: judge, perhaps ask, run, write down."""
        for opened in pending:
            async for step in self.settle(opened):
                for item in step:
                    if isinstance(item, ToolReturned):
                        self.take_result(item)
                yield step
                if _pauses(step):
                    return

    async def settle(self, opened: OpenCall) -> AsyncGenerator[Step, None]:
        """One call from where it stands to its result."""
        call = opened.call
        tool = self.lent.tools.get(call.name)
        if opened.started and not (tool and tool.spec.idempotent):
            yield (self.returned(call, ToolResult(text="", ok=False), known=False),)
            return
        if opened.decided is False:
            yield (self.returned(call, ToolResult(text="The owner said no.", ok=False)),)
            return
        verdict = self.lent.judge(tool.spec if tool else None, call)
        judged = ToolJudged(turn=self.number, call=call.id, verdict=verdict)
        if tool is None or verdict.decision == "deny":
            text = f"Not allowed: {verdict.reason}."
            yield (judged, self.returned(call, ToolResult(text=text, ok=False)))
            return
        if verdict.decision == "ask" and not opened.decided:
            yield (judged, AskOwner(call=call, spec=tool.spec, verdict=verdict))
            return
        yield (judged, ToolStarted(turn=self.number, call=call.id))
        began = time.monotonic()
        result = await _run(tool, call, self.lent.scene(call.id))
        yield (self.returned(call, result, seconds=time.monotonic() - began),)

    def returned(
        self, call: ToolCall, result: ToolResult, *, known: bool = True, seconds: float = 0
    ) -> ToolReturned:
        text = result.text
        if len(text) > RESULT_CHARACTERS:
            rest = len(text) - RESULT_CHARACTERS
            text = f"{text[:RESULT_CHARACTERS]}\n[{rest} more characters are left out]"
        return ToolReturned(
            turn=self.number,
            call=call.id,
            text=text,
            ok=result.ok,
            known=known,
            seconds=round(seconds, 4),
        )

    def take_result(self, returned: ToolReturned) -> None:
        """Put a result behind its call in the lines."""
        for i in range(len(self.groups) - 1, -1, -1):
            group = self.groups[i]
            if any(call.id == returned.call for call in group.lines[0].calls):
                lines = (*group.lines, returned_line(returned))
                self.groups[i] = Group(number=group.number, lines=lines)
                return


class _Said:
    """What a model has said so far in one step."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.text = ""
        self.calls: list[ToolCall] = []
        self.finish = Finish()
        self.began = time.monotonic()
        self.first = 0.0

    def take(self, delta: Delta) -> TextDelta | None:
        """Take in a delta; gives it back if it holds words to stream."""
        self.first = self.first or time.monotonic() - self.began
        match delta:
            case TextDelta():
                self.text += delta.text
                return delta
            case CallDelta():
                self.calls.append(self.named(delta.call))
            case Finish():
                self.finish = delta
            case ThoughtDelta():
                pass
        return None

    def named(self, call: ToolCall) -> ToolCall:
        """The call with an id no other call of this step bears (some servers repeat them)."""
        if call.id and all(call.id != other.id for other in self.calls):
            return call
        return msgspec.structs.replace(call, id=f"{call.id or 'call'}-{len(self.calls)}")

    def event(self, number: int, step: int) -> ModelAnswered:
        """The journal's line; call ids are made unique over the conversation by the turn."""
        calls = tuple(
            msgspec.structs.replace(call, id=f"{number}.{step}.{i}")
            for i, call in enumerate(self.calls)
        )
        return ModelAnswered(
            turn=number,
            step=step,
            model=self.model,
            text=self.text,
            calls=calls,
            reason=self.finish.reason,
            usage=self.finish.usage if self.finish else Usage(),
            first_seconds=round(self.first, 4),
            seconds=round(time.monotonic() - self.began, 4),
            echo=self.finish.echo,
            notes=self.finish.notes,
        )


def _speaker(name: str, model: Model) -> str:
    """The part that speaks where a model of that name is asked: itself, but for one of several."""
    return model.speaker if isinstance(model, Hedges) else name


def _failed(turn: int, step: int, model: str, error: Unready | Rejected) -> ModelFailed:
    return ModelFailed(
        turn=turn,
        step=step,
        model=model,
        error=str(error),
        trouble=error.trouble if isinstance(error, Unready) else "refused",
        retry_after=(error.retry_after or 0) if isinstance(error, Unready) else 0,
    )


def _pauses(step: Step) -> bool:
    return any(isinstance(item, AskOwner) for item in step)


async def _run(tool: Tool[Any], call: ToolCall, scene: Scene) -> ToolResult:
    """Run a tool behind its wall: whatever it raises becomes a result that is not ok."""
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=tool.arguments)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        return ToolResult(text=f"The arguments do not fit {call.name}: {error}.", ok=False)
    try:
        async with asyncio.timeout(TOOL_SECONDS):
            return await tool.run(arguments, scene)
    except TimeoutError:
        return ToolResult(text=f"{call.name} took over {TOOL_SECONDS:.0f} s.", ok=False)
    except HaoyaError as error:
        return ToolResult(text=f"{call.name}: {error}", ok=False)
    except Exception as error:  # the tool wall
        return ToolResult(text=f"{call.name} failed: {type(error).__name__}: {error}", ok=False)
