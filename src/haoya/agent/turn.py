# SPDX-License-Identifier: AGPL-3.0-or-later
"""A turn: a conversation in, a stream of events out.

`turn` does no I/O of its own; it is lent models, and a broker who alone reaches the tools. Each
step it yields is a tuple of events that belong into the journal together. The caller writes them
and only then asks for the next step, so that everything stands written before the next thing is
done.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from haoya.agent.budget import PROMPT_SHARE, Group, fit, line_tokens, tools_tokens
from haoya.agent.labels import bounded
from haoya.agent.lent import Answer, AskOwner, Lent, Read, Retracted, Step
from haoya.agent.saying import Saying
from haoya.agent.transcript import OpenCall, answered_line, merged, returned_line
from haoya.core.errors import Rejected, Unready
from haoya.core.event import (
    ModelAsked,
    ModelFailed,
    ToolAsked,
    ToolJudged,
    ToolReturned,
    ToolStarted,
)
from haoya.core.label import OWNER, Label
from haoya.core.phrases import phrase
from haoya.core.ports import Hedges, Model
from haoya.core.tool import Line, Prompt, TextDelta, ToolCall, ToolResult

RESULT_CHARACTERS = 16_000
"""What the model is shown of one result; about 4,000 tokens."""


async def turn(
    number: int,
    groups: Sequence[Group],
    pending: Sequence[OpenCall],
    lent: Lent,
    *,
    taken: int = 0,
    past: Label = OWNER,
) -> AsyncGenerator[Step | TextDelta | Retracted, None]:
    """Think until there is an answer.

    `number` is the turn, `groups` its history, `pending` the calls a crash or a question left
    open, `taken` the steps it had taken before: they count, and the ids of calls go on from there,
    for a call's id is the key of its effect. `past` is the label of what was read before `groups`
    and is cut away. Yields steps to be written, and words as they stream (ephemeral). Ends after a
    step with `Answer` or `AskOwner`.
    """
    thinking = _Turn(number, list(groups), lent, past)
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

    def __init__(self, number: int, groups: list[Group], lent: Lent, past: Label) -> None:
        self.number = number
        self.groups = groups
        self.lent = lent
        self.past = past
        self.models = list(lent.models)

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
                    job=self.lent.urgency,
                ),
            )
            said = Saying(name)
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

    def conclude(self, step: int, said: Saying) -> Step:
        """The step that records what a model said: calls to run, or the answer."""
        label = bounded(self.read().label)
        answered = said.event(self.number, step, label)
        line = answered_line(answered, label)
        self.groups.append(Group(number=self.number, lines=(line,)))
        if answered.calls:
            calls = [ToolAsked(turn=self.number, call=call) for call in answered.calls]
            return (answered, *calls)
        text = answered.text.strip() or phrase("empty", self.lent.language)
        return (answered, Answer(text=text))

    def prompt(self, model: Model) -> tuple[Prompt, int, int]:
        """What a model is asked, the number its lines begin at, and its estimated tokens."""
        system = Line(role="system", text=self.lent.system)
        specs, planning = tuple(self.lent.broker.specs.values()), self.lent.broker.planning
        fixed = line_tokens(system) + tools_tokens(specs)
        room = max(256, int(model.context_tokens * PROMPT_SHARE) - fixed)
        kept = self.with_question(fit(self.own() if planning else self.groups, room))
        lines = (system, *merged(line for group in kept for line in group.lines))
        estimate = fixed + sum(group.tokens for group in kept)
        # Not the first one's: an answer has a higher number than words that came meanwhile.
        since = min((group.number for group in kept), default=self.number)
        scene = self.lent.scene
        prompt = Prompt(
            lines=lines,
            tools=specs,
            choice=planning or "auto",
            conversation=scene.address.key,
            person=scene.person,
            urgency=self.lent.urgency,
        )
        return prompt, since, estimate

    def read(self) -> Read:
        """All that was read so far, shown to the model this time or not."""
        lines = [line for group in self.groups for line in group.lines]
        return Read(lines=lines, past=self.past)

    def own(self) -> list[Group]:
        """Only what the asking person said in own words."""
        person = {self.lent.scene.person}
        mine = [
            Group(number=group.number, lines=tuple(x for x in group.lines if _is_by(x, person)))
            for group in self.groups
        ]
        return [group for group in mine if group.lines]

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
        call, broker = opened.call, self.lent.broker
        spec = broker.specs.get(call.name)
        if opened.started and not (spec and spec.idempotent):
            yield (self.returned(call, ToolResult(text="", ok=False), known=False),)
            return
        if opened.refused:
            yield (self.returned(call, ToolResult(text="The owner said no.", ok=False)),)
            return
        read = self.read()
        verdict = broker.judge(spec, call, read, opened.approval)
        judged = ToolJudged(turn=self.number, call=call.id, verdict=verdict)
        if spec is None or verdict.decision == "deny":
            text = f"Not allowed: {verdict.reason}."
            yield (judged, self.returned(call, ToolResult(text=text, ok=False)))
            return
        if verdict.decision == "ask":
            digest = broker.digest(spec, call)
            label = read.label
            ask = AskOwner(call=call, spec=spec, verdict=verdict, digest=digest, label=label)
            yield (judged, ask)
            return
        yield (judged, ToolStarted(turn=self.number, call=call.id))
        began = time.monotonic()
        result = await broker.call(spec, call, read, opened.approval)
        yield (self.returned(call, result, seconds=time.monotonic() - began),)

    def returned(
        self, call: ToolCall, result: ToolResult, *, known: bool = True, seconds: float = 0
    ) -> ToolReturned:
        """The journal's line. Words of the house's own may hold words of the model's, and are
        labelled as these."""
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
            label=result.label or bounded(self.read().label),
        )

    def take_result(self, returned: ToolReturned) -> None:
        """Put a result behind its call in the lines."""
        for i in range(len(self.groups) - 1, -1, -1):
            group = self.groups[i]
            if any(call.id == returned.call for call in group.lines[0].calls):
                lines = (*group.lines, returned_line(returned))
                self.groups[i] = Group(number=group.number, lines=lines)
                return


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


def _is_by(line: Line, person: set[str]) -> bool:
    return line.role == "user" and line.label.sources <= person


def _pauses(step: Step) -> bool:
    return any(isinstance(item, AskOwner) for item in step)
