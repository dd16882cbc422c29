# SPDX-License-Identifier: AGPL-3.0-or-later
"""The IRC channel against real servers. What every channel must do is in tests/conformance."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from haoya.channels.irc import connection as irc_connection
from haoya.channels.irc import plugin
from haoya.core.errors import Throttled, Undeliverable, Unready
from haoya.core.message import Address, Outbound, Text
from haoya.core.plugin import Context
from haoya.core.ports import Connection
from tests.conformance.counterpart import until
from tests.conformance.house import House, MemoryBlobs, text, words
from tests.servers import inspircd, ngircd
from tests.servers.irc_person import Person

ROOM = "#kitchen"
real = pytest.mark.skipif(bool(ngircd.missing()), reason=ngircd.missing() or "-")
tagged = pytest.mark.skipif(bool(inspircd.missing()), reason=inspircd.missing() or "-")


@dataclass
class Town:
    """A server with ann on it, in the kitchen."""

    server: ngircd.Ngircd | inspircd.InspIRCd
    ann: Person
    folder: Path

    def house(self, **settings: object) -> House:
        usual = {"host": "127.0.0.1", "port": self.server.port, "tls": False, "nick": "haoya"}
        usual |= {"rooms": [ROOM], "pace_seconds": 0.02}
        return House(plugin, usual | settings, self.folder / "state", name="irc")

    @asynccontextmanager
    async def living(self, **settings: object) -> AsyncIterator[House]:
        house = self.house(**settings)
        async with house.living():
            await house.ready()
            yield house


@asynccontextmanager
async def town(folder: Path, **options: object) -> AsyncIterator[Town]:
    async with peopled(ngircd.Ngircd(folder, **options), folder) as place:  # type: ignore[arg-type]
        yield place


@asynccontextmanager
async def peopled(server: ngircd.Ngircd | inspircd.InspIRCd, folder: Path) -> AsyncIterator[Town]:
    tls = isinstance(server, ngircd.Ngircd) and server.tls
    ann = Person("ann", server.port, server.password, folder / "certificate.pem" if tls else None)
    try:
        await server.start()
        await ann.arrive(ROOM)
        yield Town(server, ann, folder)
        await ann.leave()
    finally:
        server.stop()


def run(claim: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(90):
            await claim()

    asyncio.run(limited())


def context(folder: Path, http: httpx2.AsyncClient) -> Context:
    return Context(
        name="irc",
        state=folder,
        clock=lambda: 1000.0,
        http=http,
        secret=lambda value: value,
        blobs=MemoryBlobs(),
    )


def to(room: str) -> Address:
    return Address(channel="irc", room=room, kind="group" if room.startswith("#") else "dm")


def outbound(room: str, words: str) -> Outbound:
    return Outbound(id="out", address=to(room), parts=(Text(text=words),))


@real
@pytest.mark.parametrize(
    ("said", "heard", "called"),
    [
        ("haoya: hi", "hi", True),
        ("hi Haoya?", "hi Haoya?", True),
        ("@haoya hi", "hi", True),
        ("haoya你好", "你好", True),
        ("请问haoya现在几点", "请问haoya现在几点", True),
        ("haoya_bot: hi", "haoya_bot: hi", False),
        ("#haoya is a room", "#haoya is a room", False),
        ("nobody is meant", "nobody is meant", False),
        ("\x0304red\x03 \x02bold\x02", "red bold", False),
        ("\x01ACTION waves at haoya\x01", "* ann waves at haoya", True),
    ],
)
def test_called_by_name_in_a_room(tmp_path: Path, said: str, heard: str, called: bool) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place, place.living() as house:
            await place.ann.say(ROOM, said)
            inbound = await house.hears(heard)
            assert (words(inbound), inbound.called, inbound.direct) == (heard, called, False)
            assert inbound.address == to(ROOM)
            assert inbound.sender.id == "ann!~ann@127.0.0.1"
            assert (inbound.sender.name, inbound.sender.proof) == ("ann", "none")

    run(claim)


@real
def test_nick_in_use_then_regained(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place:
            squatter = Person("haoya", place.server.port)
            await squatter.arrive(ROOM)
            async with place.living() as house:
                await place.ann.say(ROOM, "haoya_: by present name")
                assert (await house.hears("by present name")).called
                await place.ann.say(ROOM, "haoya: by wished name")
                assert (await house.hears("by wished name")).called
                await squatter.leave()
                await place.ann.sees(":haoya_!~haoya@127.0.0.1 NICK :haoya")
                await place.ann.say("haoya", "welcome home")
                assert (await house.hears("welcome home")).direct
                assert not house.faults

    run(claim)


@real
def test_nick_in_use_where_spare_ones_are_too_long(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path, nick_length=5) as place:
            squatter = Person("haoya", place.server.port)
            await squatter.arrive()
            async with place.living():
                await place.ann.sees(":haoy2!~haoya@127.0.0.1 JOIN")
            await squatter.leave()

    run(claim)


@real
def test_server_killed_and_back(tmp_path: Path) -> None:
    async def claim() -> None:
        server = ngircd.Ngircd(tmp_path)
        await server.start()
        settings = plugin.settings.model_validate(
            {"host": "127.0.0.1", "port": server.port, "nick": "haoya"}
        )
        async with httpx2.AsyncClient() as http:
            async with plugin.open(settings, context(tmp_path, http)) as connection:
                server.kill()
                with pytest.raises(Unready):
                    await anext(connection.receive())
                with pytest.raises(Unready):
                    await connection.send(outbound("ann", "too late"))
            with pytest.raises(Unready, match="cannot connect"):
                async with plugin.open(settings, context(tmp_path, http)):
                    pass
            await server.start()
            async with plugin.open(settings, context(tmp_path, http)) as connection:
                with pytest.raises(Undeliverable, match="No such nick"):
                    await connection.send(outbound("ann", "not there"))
        server.stop()

    run(claim)


@real
def test_words_written_into_a_dying_connection_may_have_arrived(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place, place.living() as house:
            connection = await house.ready()
            assert isinstance(place.server, ngircd.Ngircd)
            place.server.pause()
            sending = asyncio.create_task(connection.send(outbound(ROOM, "schrödinger")))
            await asyncio.sleep(0.1)
            place.server.kill()
            with pytest.raises(Unready) as lost:
                await sending
            assert lost.value.reached
            with pytest.raises(Unready) as unsent:
                await connection.send(outbound(ROOM, "meow"))
            assert not unsent.value.reached

    run(claim)


@real
def test_wrong_password_is_rejected_with_the_words_of_the_server(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path, password="geheim") as place:
            house = place.house(password="falsch")
            async with house.living():
                await until(lambda: house.rejected)
            assert "Bad password" in str(house.rejected) and house.opened == 0

    run(claim)


@real
@pytest.mark.parametrize("target", ["ann", ROOM])
def test_long_chinese_text_arrives_whole_in_lines_that_fit(tmp_path: Path, target: str) -> None:
    whole = ("从前有座山😀，山里有座庙，庙里有个老和尚" * 300)[:5000]

    async def claim() -> None:
        async with town(tmp_path) as place, place.living() as house:
            receipts = await house.say(to(target), text(whole))
            assert {receipt.status for receipt in receipts} == {"sent"}
            await place.ann.sync()
            spoken = [one for one in place.ann.spoken if one.nick == "haoya"]
            assert "".join(one.text for one in spoken) == whole
            assert max(len(one.raw) for one in spoken) <= 512

    run(claim)


@real
def test_each_line_is_a_message_and_none_a_command(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place, place.living() as house:
            tricky = "one\r\n\r\n  two\rQUIT :three\n\x01VERSION\x01\nfo\x00ur\n:five\n \n"
            await house.say(to(ROOM), text(tricky))
            await house.say(to(ROOM), text("still here"))
            await place.ann.sync()
            lines = ["one", "  two", "QUIT :three", "VERSION", "four", ":five", "still here"]
            assert place.ann.texts("haoya", ROOM) == lines
            connection = await house.ready()
            for room in ("ann,bob", "ann bob", ":x", "", "#a\r\nQUIT", "*"):
                with pytest.raises(Undeliverable):
                    await connection.send(outbound(room, "hi"))

    run(claim)


@real
def test_two_networks_at_once(tmp_path: Path) -> None:
    async def claim() -> None:
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
        async with town(folders[0]) as one, town(folders[1]) as two:
            async with one.living() as here, two.living() as there:
                await one.ann.say(ROOM, "haoya: here?")
                await two.ann.say(ROOM, "haoya: there?")
                await here.say((await here.hears("here?")).address, text("here"))
                await there.say((await there.hears("there?")).address, text("there"))
            await one.ann.sync()
            await two.ann.sync()
            assert one.ann.texts("haoya", ROOM) == ["here"]
            assert two.ann.texts("haoya", ROOM) == ["there"]

    run(claim)


@real
def test_tls_with_a_known_certificate_only(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path, tls=True) as place:
            assert isinstance(place.server, ngircd.Ngircd)
            known = str(place.server.certificate)
            async with place.living(tls=True, tls_ca=known) as house:
                await place.ann.say("haoya", "a secret")
                await house.say((await house.hears("a secret")).address, text("kept"))
                await place.ann.sees("kept")
            async with place.living(tls=True, tls_verify=False):
                pass
            stranger = place.house(tls=True)
            async with stranger.living():
                await until(lambda: stranger.faults)
            assert "tls_ca" in str(stranger.faults[0]) and stranger.opened == 0
            plain = place.house()
            async with plain.living():
                await until(lambda: plain.faults)
            assert plain.opened == 0

    run(claim)


@real
def test_kicked_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(irc_connection, "REJOIN_SECONDS", 0.5)

    async def claim() -> None:
        async with town(tmp_path) as place, place.living() as house:
            connection = await house.ready()
            place.ann.write(f"KICK {ROOM} haoya :out")
            await place.ann.sync()
            await until_refused(connection)
            before = len(place.ann.lines)
            await until(lambda: any("JOIN" in line for line in place.ann.lines[before:]))
            await place.ann.say(ROOM, "haoya: sorry")
            await house.hears("sorry")
            await house.say(to(ROOM), text("no harm done"))
            assert house.opened == 1 and not house.faults

    async def until_refused(connection: Connection) -> None:
        with pytest.raises(Throttled):
            while True:
                await connection.send(outbound(ROOM, "am I in?"))

    run(claim)


@real
def test_a_room_that_cannot_be_joined_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place:
            place.ann.write("JOIN #locked")
            place.ann.write("MODE #locked +kn key")
            await place.ann.sync()
            rooms = [ROOM, "#locked", "#locked2 key"]
            async with place.living(rooms=rooms) as house:
                await place.ann.say(ROOM, "haoya: fine?")
                await house.hears("fine?")
                connection = await house.ready()
                with pytest.raises(Undeliverable, match="#locked"):
                    await connection.send(outbound("#locked", "let me in"))
            async with place.living(rooms=["#locked key"]) as house:
                await house.say(to("#locked"), text("thanks"))
                await place.ann.sees("thanks")

    run(claim)
    assert ["#locked" in record.message for record in caplog.records] == [True]


@real
def test_silent_server_is_noticed(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place, place.living(ping_seconds=0.5) as house:
            await place.ann.say("haoya", "hello?")
            await house.hears("hello?")
            assert isinstance(place.server, ngircd.Ngircd)
            place.server.pause()
            await until(lambda: house.faults, seconds=30)
            assert "silent" in str(house.faults[0])

    run(claim)


@real
def test_notices_go_unanswered_and_ctcp_is_answered_rarely(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place, place.living() as house:
            await place.ann.say("haoya", "haoya: beep", verb="NOTICE")
            for _ in range(3):
                await place.ann.say("haoya", "\x01VERSION\x01")
            await place.ann.say("haoya", "\x01DCC SEND x 1 2 3\x01")
            await place.ann.say("haoya", "now for real")
            await house.hears("now for real")
            await house.say(to("ann"), text("yes"))
            await place.ann.sync()
            assert [words(inbound) for inbound in house.heard] == ["now for real"]
            said = [(one.verb, one.text) for one in place.ann.spoken if one.nick == "haoya"]
            assert said == [("NOTICE", "\x01VERSION haoya\x01"), ("PRIVMSG", "yes")]

    run(claim)


@real
def test_leaves_with_a_word_and_lets_errors_pass_as_they_are(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place:
            with pytest.raises(ZeroDivisionError):
                async with httpx2.AsyncClient() as http:
                    settings = place.house().settings
                    async with plugin.open(settings, context(tmp_path, http)):
                        raise ZeroDivisionError
            await place.ann.sees('QUIT :"see you"')

    run(claim)


@tagged
def test_echoes_are_receipts_and_ids_are_the_network_s(tmp_path: Path) -> None:
    async def claim() -> None:
        async with peopled(inspircd.InspIRCd(tmp_path), tmp_path) as place, place.living() as house:
            place.ann.write("CAP REQ :message-tags")
            await place.ann.sync()
            await place.ann.say("haoya", "hello?")
            inbound = await house.hears("hello?")
            receipts = await house.say(inbound.address, text("one\ntwo"))
            await house.say(to(ROOM), text("three"))
            await place.ann.sync()
            ids = [id for receipt in receipts for id in receipt.ids]
            assert len(set(ids)) == 2
            assert all(any(id in line for line in place.ann.lines) for id in ids)
            assert not any("PING haoya" in line for line in place.ann.lines)
            connection = await house.ready()
            with pytest.raises(Undeliverable, match="No such nick"):
                await connection.send(outbound("nobody", "hi"))
            assert len(house.heard) == 1 and inbound.id.startswith("001~")

    run(claim)


@tagged
def test_forty_lines_at_once_do_not_flood(tmp_path: Path) -> None:
    async def claim() -> None:
        async with peopled(inspircd.InspIRCd(tmp_path), tmp_path) as place:
            lines = "\n".join(f"line {number}" for number in range(40))
            async with place.living(pace_seconds=0.22) as house:
                await house.say(to("ann"), text(lines))
                await place.ann.sync()
                assert place.ann.texts("haoya") == lines.split("\n")
                assert house.opened == 1 and not house.faults
            async with place.living(burst=100) as house:
                connection = await house.ready()
                with pytest.raises(Unready, match="Excess Flood"):
                    await connection.send(outbound("ann", lines))

    run(claim)


@real
def test_who_would_wait_long_is_told_to_come_back(tmp_path: Path) -> None:
    async def claim() -> None:
        async with town(tmp_path) as place:
            async with place.living(rooms=[], burst=1, pace_seconds=12) as house:
                connection = await house.ready()
                await connection.send(outbound("ann", "one"))
                second = asyncio.create_task(connection.send(outbound("ann", "two")))
                await asyncio.sleep(0)
                with pytest.raises(Throttled) as later:
                    await connection.send(outbound("ann", "three"))
                assert later.value.retry_after and not second.done()
            with pytest.raises(Unready) as gone:
                await second
            assert not gone.value.reached
            with pytest.raises(Unready):
                await connection.send(outbound("ann", "four"))

    run(claim)
