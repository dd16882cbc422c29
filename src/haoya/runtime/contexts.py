# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the house lends each of its parts."""

from collections.abc import Callable, Sequence

from haoya.core.errors import Unready
from haoya.core.message import Address, Outbound
from haoya.core.plugin import Blobs, Call, Context
from haoya.core.ports import Memo, Memory, Queue
from haoya.policy.access import Gate
from haoya.runtime.board import Board
from haoya.runtime.confinement import Confinement
from haoya.runtime.door import DOOR
from haoya.runtime.egress import Egress
from haoya.runtime.gateway import Gateway
from haoya.runtime.home import Home
from haoya.runtime.named import reach_of
from haoya.runtime.parts import Wanted
from haoya.runtime.reach import reachable
from haoya.runtime.secrets import Secrets, origins_of


class Contexts:
    """Makes the context of each part. Parts outlive what stands behind it (the journal, the
    memory), so that is looked up when it is used."""

    def __init__(
        self,
        home: Home,
        board: Board,
        *,
        secrets: Secrets,
        clock: Callable[[], float],
        egress: Callable[[], Egress],
        blobs: Blobs,
        queue: Queue,
        gateway: Callable[[], Gateway],
        gate: Callable[[], Gate],
        memory: Callable[[], Memory | None],
        sandbox: Confinement,
        call: Call,
    ) -> None:
        self._home, self._board = home, board
        self._secrets = secrets
        self._clock, self._egress = clock, egress
        self._blobs, self._queue = blobs, queue
        self._gateway, self._gate = gateway, gate
        self._memory = LentMemory(memory, board)
        self._sandbox = sandbox
        self._call = call

    async def of(self, part: Wanted) -> Context:
        """The context of one part. Only the owner's door is lent the house's verbs, only tools
        the ways to speak and remember."""
        state = self._home.state(part.kind, part.name)
        if part.name != DOOR or part.kind != "channel":
            try:
                state.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise Unready(f"{state} cannot be made: {error.strerror}") from error
        cursor = ""
        if part.kind == "channel" and part.name != DOOR:
            cursor = await self._gateway().journal.cursor(part.name)
        tools = part.kind == "tools"
        origins = origins_of(part.kind, part.settings)
        if tools:
            await self._sandbox.settled()  # they may say how programs are kept in
        return Context(
            name=part.name,
            state=state,
            clock=self._clock,
            http=self._egress().client(part.key, *reach_of(part)),
            secret=lambda value: self._secrets.resolve(value, origins),
            blobs=self._blobs,
            cursor=cursor,
            alive=lambda: self._board.heard(part.key),
            workspace=self._home.workspace,
            models=self._home.models,
            queue=self._queue,
            sandbox=self._sandbox,
            memory=self._memory if tools else None,
            say=self._say if tools else None,
            conversations=self._reachable if tools else None,
            call=self._call if part.name == DOOR else None,
        )

    async def _say(self, outbound: Outbound) -> bool:
        return await self._gateway().say(outbound)

    async def _reachable(self, person: str) -> list[Address]:
        return await reachable(self._gateway(), person)


class LentMemory:
    """The memory that is open now, for tools that outlive its reopening."""

    def __init__(self, memory: Callable[[], Memory | None], board: Board) -> None:
        self._memory, self._board = memory, board

    def _open(self) -> Memory:
        memory = self._memory()
        if memory is None:
            raise Unready("the memory is not open: " + self._board.part("memory").reason)
        return memory

    async def keep(self, memo: Memo) -> None:
        """Store durably."""
        await self._open().keep(memo)

    async def recall(self, person: str, query: str, limit: int = 5) -> Sequence[Memo]:
        """The best matches."""
        return await self._open().recall(person, query, limit)

    async def forget(self, person: str, id: str) -> bool:
        """Remove one."""
        return await self._open().forget(person, id)
