# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tool calls put together from the pieces a stream brings."""

import msgspec

from haoya.core.tool import ToolCall
from haoya.models._wire.fitting import own_id


class FunctionPiece(msgspec.Struct):
    """Name and arguments so far; servers send `arguments` as a string, or as the object itself."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"null")


class CallPiece(msgspec.Struct):
    """A piece of `tool_calls`; servers leave out `index`, `id` or both."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None
    extra_content: msgspec.Raw = msgspec.Raw(b"null")


class _Slot:
    def __init__(self, id: str) -> None:
        self.id = id
        self.name = ""
        self.arguments = ""
        self.extra = msgspec.Raw(b"null")


class Calls:
    """Collects pieces into whole calls, in the order they began.

    `taken` are the ids of calls already in the conversation: some servers count from zero in
    every answer, and an id must tell two calls apart because effects are done once per id.
    """

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = taken
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}

    def add(self, piece: CallPiece) -> None:
        """Put one piece where it belongs."""
        function = piece.function or FunctionPiece()
        name, id = function.name or "", piece.id or ""
        text = _text(function.arguments)
        slot = self._slot(piece.index, id, name)
        slot.id = slot.id or id
        if name != slot.name:  # some repeat the whole name with every piece
            slot.name += name
        slot.arguments += text
        if bytes(piece.extra_content) != b"null":
            slot.extra = piece.extra_content.copy()

    def extra(self) -> list[msgspec.Raw]:
        """The extra content of each call, `null` where it had none; empty where none had any."""
        found = [slot.extra for slot in self._slots if slot.name or slot.arguments]
        return found if any(bytes(one) != b"null" for one in found) else []

    def whole(self) -> list[ToolCall]:
        """All calls, each with an id of its own."""
        calls: list[ToolCall] = []
        used = set(self._taken)
        for slot in self._slots:
            if not slot.name and not slot.arguments:
                continue
            arguments = slot.arguments.strip() or "{}"
            calls.append(ToolCall(id=own_id(slot.id, used), name=slot.name, arguments=arguments))
        return calls

    def _slot(self, index: int | None, id: str, name: str) -> _Slot:
        if index is not None:
            slot = self._by_index.get(index)
        else:
            last = self._slots[-1] if self._slots and not (id and name) else None
            slot = next((slot for slot in self._slots if id and slot.id == id), last)
        if slot is None or _begins(slot, index, id, name):
            slot = _Slot(id)
            self._slots.append(slot)
        if index is not None:
            self._by_index[index] = slot
        return slot


def _begins(slot: _Slot, index: int | None, id: str, name: str) -> bool:
    """Whether a piece begins a call after `slot` although it points there.

    Some servers say index 0 for every call, or nothing at all, but each call has its name.
    """
    if not name or (id and id == slot.id):
        return False
    if id and slot.id:
        return True
    if index is None and not id:
        return bool(slot.name)
    return bool(slot.arguments) and (name != slot.name or _complete(slot.arguments))


def _complete(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return False
    return True


def _text(raw: msgspec.Raw) -> str:
    data = bytes(raw)
    if data.startswith(b'"'):
        return msgspec.json.decode(data, type=str)
    return "" if data == b"null" else data.decode()
