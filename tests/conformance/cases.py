# SPDX-License-Identifier: AGPL-3.0-or-later
"""The cases of the suite. Each speaks to a channel and its counterpart and raises if it fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from haoya.core.capabilities import Capabilities, length
from haoya.core.message import Image, Inbound, Outbound
from haoya.core.ports import Drafts, Edits, ShowsTyping
from tests.conformance.counterpart import Ability, Counterpart, Heard, until
from tests.conformance.house import House, text, words

CLOSE_SECONDS = 1.0
"""The contract: leaving a connection takes no longer."""

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc0f01f0005050200a52cbf60"
    "0000000049454e44ae426082"
)


@dataclass
class Scene:
    """A started counterpart and what a case needs to open channels against it."""

    counterpart: Counterpart
    folder: Path
    capabilities: Capabilities | None = None
    houses: list[House] = field(default_factory=list)

    def house(self, account: int = 0, *, wrong: bool = False) -> House:
        """A house with one channel for that account, not yet living."""
        far = self.counterpart
        settings = far.wrong_settings() if wrong else far.settings(account)
        name = f"chat{account}"
        house = House(far.plugin, settings, self.folder / name, name=name)
        self.houses.append(house)
        return house

    async def taken(self, what: str, *, account: int = 0) -> Heard:
        """The network's copy of what we said, once it has one that contains `what`."""
        found: list[Heard] = []
        deadline = time.monotonic() + 15
        while not found:
            heard = await self.counterpart.heard(account)
            found = [message for message in heard if what in message.text]
            assert found or time.monotonic() < deadline, f"{what!r} never arrived: {heard}"
            await asyncio.sleep(0 if found else 0.02)
        return found[0]


@dataclass(frozen=True)
class Case:
    """`name` is the row of the matrix, `claim` what it proves, `needs` when it applies."""

    name: str
    claim: str
    run: Callable[[Scene], Awaitable[None]]
    needs: frozenset[Ability] = frozenset()


async def start(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        connection = await house.ready()
        scene.capabilities = connection.capabilities
        assert not house.faults


async def hear(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        await house.ready()
        await scene.counterpart.person_says("hello 你好 😀")
        inbound = await house.hears("hello 你好 😀")
        assert words(inbound) == "hello 你好 😀"
        assert inbound.type == "message" and inbound.id and inbound.sender.id
        assert inbound.address.channel == house.name and inbound.address.room
        assert inbound.direct and inbound.called and inbound.address.kind == "dm"
        assert abs(inbound.at - time.time()) < 3600
        await scene.counterpart.person_says("hello from bob", person="bob")
        other = await house.hears("hello from bob")
        assert other.address.key != inbound.address.key
        if "people" in scene.counterpart.abilities:
            assert other.sender.id != inbound.sender.id


async def say(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        inbound = await _greeted(scene, house)
        receipts = await house.say(inbound.address, text("good day 你好 😀"))
        assert [receipt.status for receipt in receipts] == ["sent"]
        heard = await scene.taken("good day 你好 😀")
        assert heard.text == "good day 你好 😀"
        assert heard.room == inbound.address.room


async def echo(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        inbound = await _greeted(scene, house)
        await house.say(inbound.address, text("this is ours"))
        await scene.taken("this is ours")
        await scene.counterpart.person_says("this is theirs")
        await house.hears("this is theirs")
        assert [words(message) for message in house.heard] == ["hello?", "this is theirs"]


async def room(scene: Scene) -> None:
    house, far = scene.house(), scene.counterpart
    async with house.living():
        await house.ready()
        await far.person_says("nobody in particular", room=far.room, person="bob")
        aside = await house.hears("nobody in particular")
        assert not aside.called and not aside.direct
        await far.person_says(f"{far.called}what is the time?", room=far.room)
        asked = await house.hears("what is the time?")
        assert asked.called and not asked.direct
        assert words(asked).strip() == "what is the time?"
        assert asked.address.room == far.room and asked.address.kind != "dm"
        await house.say(asked.address, text("nine o'clock"))
        assert (await scene.taken("nine o'clock")).room == far.room


async def reply(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        inbound = await _greeted(scene, house)
        await house.say(inbound.address, text("an answer"), reply_to=inbound.id)
        heard = await scene.taken("an answer")
        assert heard.reply_to and inbound.id.endswith(heard.reply_to)


async def reconnect(scene: Scene) -> None:
    house, far = scene.house(), scene.counterpart
    async with house.living():
        await _greeted(scene, house)
        await far.kill()
        await until(lambda: house.faults, why="the death of the server was not noticed")
        await far.back()
        await house.ready()
        await far.person_says("are you back?")
        inbound = await house.hears("are you back?", seconds=30)
        await house.say(inbound.address, text("I am back"))
        await scene.taken("I am back")
    assert len(house.heard) == 2


async def replay(scene: Scene) -> None:
    house, far = scene.house(), scene.counterpart
    async with house.living():
        await house.ready()
        for number in range(3):
            await far.person_says(f"word {number}")
            await house.hears(f"word {number}")
        await far.redeliver()
        await far.person_says("the last word")
        await house.hears("the last word")
    assert [words(message) for message in house.heard] == [
        *(f"word {number}" for number in range(3)),
        "the last word",
    ]


async def resume(scene: Scene) -> None:
    house, far = scene.house(), scene.counterpart
    async with house.living():
        await _greeted(scene, house)
    await far.person_says("while you were away")
    async with house.living():
        await house.hears("while you were away")
    assert house.arrivals == len(house.heard) == 2, "what the cursor covers was heard again"


async def accept(scene: Scene) -> None:
    house, far = scene.house(), scene.counterpart
    async with house.living():
        connection = await house.ready()
        assert connection.capabilities.ack == "after_commit"
        house.refuse_storing = 1
        await far.person_says("precious")
        await house.hears("precious")
        await far.person_says("next")
        await house.hears("next")
    assert house.arrivals >= 3
    assert [words(message) for message in house.heard] == ["precious", "next"]


async def cut(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        inbound = await _greeted(scene, house)
        limits = (await house.ready()).capabilities
        whole = _long(limits)
        receipts = await house.say(inbound.address, text(whole))
        assert len(receipts) > 1
        await scene.taken("the end")
    pieces = [heard.text for heard in await scene.counterpart.heard()]
    assert all(length(piece, limits.unit) <= limits.max_length for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(whole.split())


async def truth(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        inbound = await _greeted(scene, house)
        connection = await house.ready()
        limits = connection.capabilities
        assert isinstance(connection, Edits) == (limits.edit_seconds > 0)
        assert isinstance(connection, ShowsTyping) == limits.typing
        assert not limits.draft_seconds or isinstance(connection, Edits | Drafts)
        for sign in ("x", "好", "😀"):
            width = length(sign, limits.unit)
            line = sign * (limits.max_length // width)
            await house.say(inbound.address, text(line))
            assert (await scene.taken(line)).text == line, "max_length is not what fits"
        if isinstance(connection, ShowsTyping):
            await connection.typing(inbound.address)


async def throttle(scene: Scene) -> None:
    house, far = scene.house(), scene.counterpart
    async with house.living():
        inbound = await _greeted(scene, house)
        await far.throttle(1, 1)
        opened = house.opened
        await house.say(inbound.address, text("patience"))
        await scene.taken("patience")
        assert house.pauses == [1] and house.opened == opened
    assert len(await far.heard()) == 1


async def accounts(scene: Scene) -> None:
    houses, far = [scene.house(0), scene.house(1)], scene.counterpart
    async with AsyncExitStack() as stack:
        for house in houses:
            await stack.enter_async_context(house.living())
            await house.ready()
        for account, house in enumerate(houses):
            await far.person_says(f"to account {account}", account=account)
            inbound = await house.hears(f"to account {account}")
            await house.say(inbound.address, text(f"from account {account}"))
            await scene.taken(f"from account {account}", account=account)
        for account, house in enumerate(houses):
            assert [words(message) for message in house.heard] == [f"to account {account}"]
            assert len(await far.heard(account)) == 1


async def close(scene: Scene) -> None:
    house = scene.house()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(house.living())
        await _greeted(scene, house)
        async with asyncio.timeout(CLOSE_SECONDS):
            await stack.aclose()
    house = scene.house()
    async with house.living():
        await house.ready()
        await scene.counterpart.person_says("once more")
        await house.hears("once more")


async def credentials(scene: Scene) -> None:
    house = scene.house(wrong=True)
    async with house.living():
        await until(lambda: house.rejected, why=f"not rejected; {house.faults[-2:]}")
    assert scene.counterpart.refusal in str(house.rejected)
    assert house.connection is None and not house.heard


async def silence(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        await _greeted(scene, house)
        assert not house.faults
        await scene.counterpart.fall_silent()
        await until(lambda: house.faults, seconds=30, why="silence went unnoticed")


async def image(scene: Scene) -> None:
    house, far = scene.house(), scene.counterpart
    async with house.living():
        await house.ready()
        await far.person_shows(PNG, mime="image/png", name="dot.png", caption="a dot")
        inbound = await house.hears("a dot")
        (part,) = [part for part in inbound.parts if isinstance(part, Image)]
        assert await house.blobs.get(part.blob.sha256) == PNG
        assert "image" in (await house.ready()).capabilities.says
        await house.say(inbound.address, Image(blob=part.blob, caption="the same dot"))
        assert (await scene.taken("the same dot")).data == PNG


async def edit(scene: Scene) -> None:
    house = scene.house()
    async with house.living():
        inbound = await _greeted(scene, house)
        (receipt,) = await house.say(inbound.address, text("a draft"))
        connection = await house.ready()
        assert isinstance(connection, Edits) and receipt.ids
        outbound = Outbound(id="edit-1", address=inbound.address, parts=(text("the answer"),))
        for _ in range(2):
            changed = await connection.edit(receipt.ids[0], outbound)
            assert changed.status == "sent"
        assert (await scene.taken("the answer")).edited
    assert len(await scene.counterpart.heard()) == 1


CASES = (
    Case("start", "opens and says what it can", start),
    Case("hear", "hears people whole, once, told apart", hear),
    Case("say", "says words where they belong", say),
    Case("echo", "does not hear itself", echo),
    Case("room", "knows in a room when it is called", room, frozenset({"rooms"})),
    Case("reply", "replies to a certain message", reply, frozenset({"replies"})),
    Case("reconnect", "server killed and back", reconnect, frozenset({"restarts"})),
    Case("replay", "a message delivered twice is one", replay, frozenset({"duplicates"})),
    Case("resume", "goes on where it stopped", resume, frozenset({"redelivers"})),
    Case("accept", "acknowledges only what is stored", accept, frozenset({"redelivers"})),
    Case("cut", "long text arrives complete, in pieces that fit", cut),
    Case("truth", "the declared limits are the network's", truth),
    Case("throttle", "waits as long as asked", throttle, frozenset({"throttles"})),
    Case("accounts", "two accounts at once", accounts, frozenset({"accounts"})),
    Case("close", "closes in under a second", close),
    Case("credentials", "refused with the server's words", credentials, frozenset({"credentials"})),
    Case("silence", "notices a silent peer", silence, frozenset({"silence"})),
    Case("image", "pictures, there and back", image, frozenset({"images"})),
    Case("edit", "changes what it said", edit, frozenset({"edits"})),
)


async def _greeted(scene: Scene, house: House) -> Inbound:
    """Somebody has said hello, so that there is a conversation to speak in."""
    await house.ready()
    await scene.counterpart.person_says("hello?")
    return await house.hears("hello?")


def _long(limits: Capabilities) -> str:
    """About three times too long, with and without places to cut, in wide characters."""
    family = "\U0001f468‍\U0001f469‍\U0001f467"
    line = f"从前有座山，山里有座庙。 once {family} upon 😀 a time. "
    solid = "庙里有个老和尚在讲故事" * (limits.max_length // 20 + 1)
    times = 2 * limits.max_length // length(line, limits.unit) + 2
    return f"{line * times}\n{solid}\n{line * 2}the end"
