# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which models a turn is lent, and in what order: policy says how far its words may go, the
router's rules who can answer, the pauses who is well, and the owner or the measurements the rest.

All of it is what the journal says: the lines are learned from as they are written, and read again
at start.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random

import msgspec

from haoya.agent.budget import tokens_of
from haoya.core.errors import Rejected
from haoya.core.event import Event, ModelAnswered, ModelAsked, ModelFailed, kind_of
from haoya.core.phrases import phrase
from haoya.core.ports import Model
from haoya.core.tool import Place
from haoya.inference.answers import REMEMBERED, Answers, Remembering
from haoya.inference.cooldown import Cooldown
from haoya.inference.router import (
    FAR,
    Bar,
    Candidate,
    Choice,
    Measured,
    Need,
    Router,
    barred,
)
from haoya.inference.spending import Spending, left, month_begins
from haoya.journal import Journal
from haoya.policy.leave import reach
from haoya.runtime.hedge import Failure, Hedged
from haoya.runtime.lending import Lending, Wish, reasons
from haoya.runtime.settings import Settings

RECALLED = 600
"""Lines about models that are read at start: some 300 requests, more than beliefs remember."""

PAGE = 1000
"""Lines read at a time where a month's spending is added up."""

LEAST_RATED = 8
"""Tokens an answer needs for its speed to mean something."""

OPEN_QUESTIONS = 1024
"""Requests under way that are remembered; a crash leaves some without an end."""

_KINDS = frozenset(kind_of(kind) for kind in (ModelAsked, ModelAnswered, ModelFailed))


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How a model stands with the router: where it thinks, until when it rests (Unix seconds; 0:
    not at all, -1: until its settings change) and why, and what it has cost."""

    place: Place
    rests_until: float = 0.0
    trouble: str = ""
    spent_today: float = 0.0
    spent_month: float = 0.0


class Routing:
    """Holds what was learned about the models. `models` are those that are open now."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        models: Mapping[str, Model],
        clock: Callable[[], float],
        random: Random | None = None,
    ) -> None:
        self.settings = settings
        self.models = models
        self.clock = clock
        self.router = Router(random or Random())
        self.cooldown = Cooldown()
        self.spending = Spending()
        self.answers = Answers(0, clock)
        self._asked: dict[tuple[str, int], ModelAsked] = {}
        self._seen: dict[str, Model] = {}
        self._oldest: int | None = None

    async def recall(self, journal: Journal) -> None:
        """Learn what the journal's last lines say, and, where a budget is set, what this month
        has cost. Called again after a change of settings, it reads what it lacks."""
        if self._oldest is None:
            newest = await journal.recent(_KINDS, limit=RECALLED)
            self._oldest = newest[-1].number if newest else 0
            for entry in reversed(newest):
                self.note(entry.conversation, entry.event, entry.at)
            # Its settings may be others by now; asking once tells.
            for name in [n for n in self.models if self.cooldown.trouble(n) == "refused"]:
                self.cooldown.forget(name)
        begin = month_begins(self.clock())
        while self._oldest and self._has_budget():
            page = await journal.recent(_KINDS, limit=PAGE, before=self._oldest)
            page = [entry for entry in page if entry.at >= begin]
            asked = {
                (e.conversation, e.event.turn, e.event.step): e.event
                for e in page
                if isinstance(e.event, ModelAsked)
            }
            for entry in page:
                if isinstance(event := entry.event, ModelAnswered):
                    key = (entry.conversation, event.turn, event.step)
                    self._pay(event, asked.get(key), entry.at)
            self._oldest = page[-1].number if page else 0

    def note(self, conversation: str, event: Event, at: float) -> None:
        """Learn from a line as it is written (or read)."""
        match event:
            case ModelAsked():
                self.cooldown.asked(event.model, at)
                self._asked[conversation, event.turn] = event
                if len(self._asked) > OPEN_QUESTIONS:
                    del self._asked[next(iter(self._asked))]
            case ModelAnswered():
                asked = self._asked.pop((conversation, event.turn), None)
                self._answered(event, asked, at)
            case ModelFailed():
                self._asked.pop((conversation, event.turn), None)
                self.cooldown.failed(event.model, event.trouble, at, event.retry_after)
                if event.trouble != "request":
                    self.router.learn(Measured(name=event.model, at=at, ok=False))
            case _:
                pass

    def feedback(self, model: str, good: bool) -> None:
        """Somebody liked, or did not like, an answer of the model with that name. Kept in memory:
        the journal has no line for it yet."""
        self.router.feedback(model, good)

    def condition(self, name: str) -> Condition:
        """How a model of the settings stands at this moment."""
        settings, now = self.settings(), self.clock()
        frame = settings.frames[name]
        alone = len(settings.agent.models) == 1  # it is asked whatever befell it
        until = 0.0 if alone else self.cooldown.until(name, now)
        today, month = self.spending.cost(name, frame.price, now)
        return Condition(
            place=frame.place_of(settings.models[name].table),
            rests_until=-1.0 if math.isinf(until) else until,
            trouble=self.cooldown.trouble(name) if until else "",
            spent_today=round(today, 6),
            spent_month=round(month, 6),
        )

    def order(self) -> list[tuple[str, Model]]:
        """The models that are there, in the order the owner chose."""
        names = self.settings().agent.models
        return [(name, self.models[name]) for name in names if name in self.models]

    def lend(self, wish: Wish, trouble: str = "") -> Lending:
        """The models for a turn; `trouble` is why some are not open."""
        settings = self.settings()
        self._look_at(settings)
        order = [name for name, _ in self.order()]
        within = reach(settings.policy.leave, wish.talk).within
        candidates = self._candidates(settings)
        choice = len(settings.agent.models) > 1
        counts = choice or any(one.left < math.inf for one in candidates.values())
        tokens = wish.tokens() if counts else 0
        need = Need(within=within, talents=wish.talents, tokens=tokens)
        bars: dict[str, Bar | None] = {name: barred(candidates[name], need) for name in order}
        # What cannot do it all does what it can where nobody can; place and money stand firm.
        firm = [name for name in order if bars[name] not in ("place", "budget")]
        if not firm:
            return Lending(trouble=self._refusal(candidates, within, order, wish, trouble))
        if not choice:
            return Lending(models=self._runners(settings, firm, (), wish))
        able = [name for name in firm if bars[name] is None]
        now = self.clock()
        allowed = able or firm
        measured: list[Choice] = []
        if settings.router.choose == "measured" and len(allowed) > 1:
            worthy = [candidates[name] for name in allowed]
            measured = self.router.order(worthy, need if able else Need(within=within), now)
            allowed = [choice.name for choice in measured]
        pauses = {name: self.cooldown.until(name, now) for name in allowed}
        allowed.sort(key=lambda name: pauses[name])  # stable: those who are well keep their order
        left_out = [name for name in order if name not in allowed]
        out: list[tuple[str, Bar]] = [(n, bar) for n in left_out if (bar := bars[n])]
        well = [name for name in allowed if not pauses[name]]
        return Lending(
            models=self._runners(settings, allowed, well, wish),
            why=reasons(allowed, measured, pauses, out),
        )

    def _runners(
        self, settings: Settings, names: Sequence[str], well: Sequence[str], wish: Wish
    ) -> list[tuple[str, Model]]:
        """The models themselves, remembering and racing where the owner wants that."""
        router = settings.router
        models = {name: self.models[name] for name in names}
        if self.answers.max_bytes:
            models = {
                name: Remembering(name, model, self.answers, drawn=router.remember_drawn)
                for name, model in models.items()
            }
        runners = list(models.items())
        if router.hedge_seconds and len(well) > 1 and wish.talk.urgency == "chat":
            first, second = runners[0], runners[1]
            hedged = Hedged(first, second, router.hedge_seconds, self._covered)
            # The first stands again at the end: as the race's loser it was cancelled, not asked.
            return [(first[0], hedged), *runners[1:], first]
        return runners

    def _covered(self, name: str, error: Failure) -> None:
        """A racer failed and the other answered: no line says so, the pause is due anyway."""
        now = self.clock()
        if isinstance(error, Rejected):
            self.cooldown.failed(name, "refused", now)
        else:
            self.cooldown.failed(name, error.trouble, now, error.retry_after or 0)

    def _look_at(self, settings: Settings) -> None:
        """Take in changed settings, and models that were opened anew."""
        self.router.weigh(settings.router.weights)
        size = settings.router.remember_answers * 1024 * 1024
        if size != self.answers.max_bytes:
            self.answers = Answers(size, self.clock)
        for name, model in self.models.items():
            if self._seen.get(name, model) is not model:
                self.cooldown.forget(name)
                self.answers.clear()
            self._seen[name] = model

    def _candidates(self, settings: Settings) -> dict[str, Candidate]:
        """The open models as the rules see them."""
        now = self.clock()
        spent = {
            name: self.spending.cost(name, frame.price, now)
            for name, frame in settings.frames.items()
            if frame.price_in or frame.price_out
        }
        today = sum(cost[0] for cost in spent.values())
        month = sum(cost[1] for cost in spent.values())
        rest = left(settings.router.budget, today, month)
        found: dict[str, Candidate] = {}
        for name, model in self.models.items():
            frame = settings.frames.get(name)
            if frame is None:  # just removed from the settings and not closed yet
                found[name] = Candidate(name=name)
                continue
            table = settings.models[name].table
            found[name] = Candidate(
                name=name,
                place=frame.place_of(table),
                price=frame.price,
                context_tokens=model.context_tokens,
                lacks=frame.lacks_of(table),
                left=min(rest, left(frame.budget, *spent.get(name, (0.0, 0.0)))),
            )
        return found

    def _refusal(
        self,
        candidates: Mapping[str, Candidate],
        within: Place,
        order: Sequence[str],
        wish: Wish,
        trouble: str,
    ) -> str:
        """Why no model may answer, in words for the owner; "" where none is there at all."""
        inside = [name for name in order if FAR[candidates[name].place] <= FAR[within]]
        if inside:
            names = ", ".join(inside)
            return phrase("budget-spent", wish.language, names=names)
        if within == "outside":
            return trouble
        said = phrase("kept-here" if within == "here" else "kept-own", wish.language)
        return f"{said}; {trouble}" if trouble else said

    def _answered(self, event: ModelAnswered, asked: ModelAsked | None, at: float) -> None:
        if any(note.startswith(REMEMBERED) for note in event.notes):
            self.cooldown.settled(event.model, at)
            return
        self.cooldown.forget(event.model)
        first = event.first_seconds
        if asked and asked.model != event.model:
            # Hedged: the one asked first had said nothing for at least so long.
            self.cooldown.settled(asked.model, at)
            self.router.learn(Measured(name=asked.model, at=at, ok=True, first=first))
            first = max(0.0, first - self.settings().router.hedge_seconds)
        tokens = event.usage.completion or tokens_of(event.text)
        took = event.seconds - event.first_seconds
        rate = tokens / took if tokens >= LEAST_RATED and took > 0.01 else 0.0
        self.router.learn(Measured(name=event.model, at=at, ok=True, first=first, rate=rate))
        self._pay(event, asked, at)

    def _pay(self, event: ModelAnswered, asked: ModelAsked | None, at: float) -> None:
        """Count the tokens of an answer, as the server did or, where it did not, as we guess."""
        if any(note.startswith(REMEMBERED) for note in event.notes):
            return
        into = event.usage.prompt or (asked.prompt_tokens if asked else 0)
        self.spending.add(event.model, at, into, event.usage.completion or tokens_of(event.text))

    def _has_budget(self) -> bool:
        settings = self.settings()
        budgets = [settings.router.budget, *(frame.budget for frame in settings.frames.values())]
        return any(budget.day or budget.month for budget in budgets)
