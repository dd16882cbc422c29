# SPDX-License-Identifier: AGPL-3.0-or-later
"""How strained the machine is for one model, and what it uses because of that."""

from collections.abc import Callable

from haoya.core.ports import Lane
from haoya.inference.adapt import Allowance, Choice, Standing, Strain, adapt
from haoya.inference.memory import Memory, read_memory

LOOK_SECONDS = 1.0
"""How long a look at the memory is good for."""


class Adapting:
    """Keeps a model's standing; `clock` does not go back."""

    def __init__(
        self,
        context_tokens: int,
        allowed: Allowance,
        lane: Lane,
        clock: Callable[[], float],
        memory: Callable[[], Memory | None] = read_memory,
    ) -> None:
        self._context_tokens = context_tokens
        self._allowed = allowed
        self._lane = lane
        self._clock = clock
        self.memory = memory
        self.standing = Standing()
        self._room: float | None = None
        self.looked = float("-inf")

    def choose(self) -> Choice:
        """What to use for the next request, and why if it is less than what is set."""
        now = self._clock()
        if now - self.looked >= LOOK_SECONDS:
            memory = self.memory()
            self._room = memory.available / memory.floor if memory else None
            self.looked = now
        strain = Strain(load=self._lane.load, room=self._room)
        choice = adapt(self.standing, self._context_tokens, strain, self._allowed, now)
        self.standing = choice.standing
        return choice
