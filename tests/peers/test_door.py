# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who is let in, and whom the asking node trusts."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import pydantic
import pytest

from haoya.api.peers.serve import serve
from haoya.core.errors import ConfigError, Rejected, Unready
from haoya.core.tool import Delta, Prompt, TextDelta
from haoya.models.peer.settings import PeerSettings
from haoya.runtime.peers import Peers
from haoya.runtime.peers_settings import PeersSettings
from haoya.runtime.settings import read
from tests.peers.ends import Lender, Thinker, asking, echo, leaves, lending, prompt, said
from tests.peers.nodes import certificate, free_port
from tests.runtime.waiting import run


async def refused(folder: Path, settings: PeerSettings) -> BaseException:
    """What connecting ends with."""
    async with asyncio.timeout(20):
        try:
            async with asking(folder, settings):
                raise AssertionError("it was let in")
        except (BaseExceptionGroup, Rejected, Unready) as error:
            found = leaves(error)
            return next((leaf for leaf in found if isinstance(leaf, Rejected)), found[0])


def test_a_wrong_token_is_refused(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            for token in ("wrong", lender.token[:-1], lender.token + "x"):
                error = await refused(tmp_path, lender.settings(token=token))
                assert isinstance(error, Rejected) and "does not know our token" in str(error)
                assert token not in str(error)

    run(body)


def test_a_removed_node_is_sent_away_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    async def talks(_: Prompt) -> AsyncGenerator[Delta, None]:
        yield TextDelta(text="I was")
        await asyncio.Event().wait()

    async def body() -> None:
        async with lending(tmp_path, Thinker(talks)) as lender, asyncio.timeout(20):
            heard: list[Delta] = []
            with pytest.raises(BaseExceptionGroup) as told:
                async with asking(tmp_path, lender.settings()) as model:
                    async for delta in model.stream(prompt("?")):
                        heard.append(delta)
                        lender.house.peers.remove("small")
            assert heard and Unready in {type(leaf) for leaf in leaves(told.value)}
            error = await refused(tmp_path, lender.settings())
            assert isinstance(error, Rejected)

    run(body)


def test_a_new_invitation_ends_the_old_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            old = lender.settings()
            lender.token = lender.house.peers.invite("small", ("main",), 2.0)
            assert isinstance(await refused(tmp_path, old), Rejected)
            async with asking(tmp_path, lender.settings()) as model:
                assert (await said(model, prompt("new")))[0] == "new "

    run(body)


def test_only_models_that_were_named_are_lent(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            lender.house.models["other"] = Thinker(echo)
            error = await refused(tmp_path, lender.settings(model="other"))
            assert isinstance(error, Rejected)
            assert "lends us no model 'other'; it lends: main" in str(error)

    run(body)


def test_a_model_of_a_third_node_is_not_lent_on(tmp_path: Path) -> None:
    async def body() -> None:
        section = '[models.far]\nuse = "peer"\naddress = "http://127.0.0.1:1"\ntoken = "x"'
        async with lending(tmp_path, Thinker(echo), section=section) as lender:
            lender.house.models["far"] = Thinker(echo)
            lender.token = lender.house.peers.invite("small", ("main", "far"), 2.0)
            error = await refused(tmp_path, lender.settings(model="far"))
            assert "it lends: main" in str(error)

    run(body)


def test_a_pinned_certificate_needs_no_authority(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo), tls=True) as lender:
            assert lender.address.startswith("https://")
            shown = ":".join(lender.mark.upper()[i : i + 2] for i in range(0, 64, 2))
            for mark in (lender.mark, f"sha256:{lender.mark}", shown):
                async with asking(tmp_path, lender.settings(fingerprint=mark)) as model:
                    assert (await said(model, prompt("好 🔒")))[0] == "好 🔒 "

    run(body)


def test_a_certificate_nobody_vouches_for_is_refused_without_a_pin(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo), tls=True) as lender:
            error = await refused(tmp_path, lender.settings(fingerprint=""))
            assert isinstance(error, Rejected) and "does not trust" in str(error)

    run(body)


def test_an_impostor_never_sees_the_token(tmp_path: Path) -> None:
    """Somebody else at the address, with a certificate of his own."""
    heard = bytearray()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())
        writer.close()

    async def body() -> None:
        certificate(tmp_path / "his")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "his" / "cert.pem", tmp_path / "his" / "key.pem")
        context.set_alpn_protocols(["h2"])
        server = await asyncio.start_server(impostor, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server, lending(tmp_path, Thinker(echo), tls=True) as lender:
            settings = lender.settings(address=f"https://127.0.0.1:{port}")
            error = await refused(tmp_path, settings)
            assert isinstance(error, Rejected) and "another certificate" in str(error)
            assert not heard

    run(body)


def test_nothing_older_than_tls_1_3_is_spoken(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo), tls=True) as lender:
            old = ssl.create_default_context()
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(OSError):  # the handshake is refused or cut off
                await asyncio.open_connection("127.0.0.1", lender.port, ssl=old)
            plain = f"http://127.0.0.1:{lender.port}"
            error = await refused(tmp_path, lender.settings(address=plain, fingerprint=""))
            assert isinstance(error, Unready)

    run(body)


def test_nobody_there_is_unready_and_says_the_cure(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            settings = lender.settings(address=f"http://127.0.0.1:{free_port()}")
            error = await refused(tmp_path, settings)
            assert isinstance(error, Unready) and error.trouble == "unreachable"
            assert not error.reached and "start it there, or correct address" in str(error)

    run(body)


def test_a_port_that_is_taken_is_waited_for(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            taken = PeersSettings(listen=f"127.0.0.1:{lender.port}")
            with pytest.raises(Unready, match="is in use; choose another"):
                async with serve(lender.house, taken):
                    pass

    run(body)


def test_a_certificate_that_is_not_there_parks_the_listener(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            lost = PeersSettings(cert="no.pem", key="no.pem", listen="0.0.0.0:0")
            with pytest.raises(ConfigError, match="cert or key cannot be used"):
                async with serve(lender.house, lost):
                    pass

    run(body)


@pytest.mark.parametrize("listen", ["0.0.0.0:8643", "192.168.1.5:8643", "[::]:1", "nas:8643"])
def test_without_tls_only_this_machine_is_listened_to(listen: str) -> None:
    settings = read({"peers": {"listen": listen}})
    assert settings.peers.listen == ""
    (finding,) = settings.findings
    assert "needs TLS" in finding.message and "tunnel" in finding.message
    assert read({"peers": {"listen": listen, "cert": "a", "key": "b"}}).peers.listen == listen


@pytest.mark.parametrize("address", ["http://nas:8643", "nas:8643", "https://", "https://n/x", "x"])
def test_an_address_that_would_not_be_safe_is_no_setting(address: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        PeerSettings(address=address, token="t")


def test_tokens_are_kept_as_digests_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "peers.json"
    peers = Peers(path)
    token = peers.invite("laptop", ("main",), 1.0)
    assert token not in path.read_text() and path.stat().st_mode & 0o077 == 0
    found = Peers(path).known(token)
    assert found and found.name == "laptop"
    assert Peers(path).known("") is None


def test_a_change_by_another_process_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    here, there = Peers(path), Peers(path)
    token = there.invite("laptop", ("main",), 1.0)
    assert here.known(token)
    there.remove("laptop")
    assert here.known(token) is None and here.all() == []


def test_a_broken_list_lets_nobody_in(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            lender.house.home.peers.write_text("[{")
            error = await refused(tmp_path, lender.settings())
            assert "HTTP 503" in str(error)

    run(body)


@pytest.mark.soak
def test_strangers_who_say_nothing_take_no_place(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            await stranger(lender)
            async with asking(tmp_path, lender.settings()) as model:
                assert (await said(model, prompt("hi")))[0] == "hi "

    run(body)


async def stranger(lender: Lender) -> None:
    """Leaves as many lines open as the listener takes, and one more."""
    lines = [await asyncio.open_connection("127.0.0.1", lender.port) for _ in range(70)]
    async with asyncio.timeout(30):
        for reader, writer in lines:
            await reader.read()
            writer.close()
