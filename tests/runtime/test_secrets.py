# SPDX-License-Identifier: AGPL-3.0-or-later
"""Secrets in the process: who gets a value, where it may go, and that none is shown."""

import io
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.core.errors import ConfigError, Unready
from haoya.core.event import ModelFailed
from haoya.core.message import Address
from haoya.journal import open_journal
from haoya.runtime.board import Board
from haoya.runtime.origins import origin_of
from haoya.runtime.redaction import Redactor, redact_output
from haoya.runtime.secrets import (
    Secrets,
    origins_of,
    plain_values,
    wanted_origins,
)
from haoya.runtime.settings import Finding, PartSettings, read
from haoya.runtime.vault_words import Held
from tests.runtime.waiting import run

KEY = "sk-planted-0123456789"


def holding(*held: Held) -> Secrets:
    secrets = Secrets()
    secrets.hold(held)
    return secrets


def test_a_value_is_a_reference_or_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = holding(Held(name="tg-token", text='12:ab"\n好'))
    monkeypatch.setenv("HAOYA_TEST_KEY", "from outside")
    assert secrets.resolve("secret:tg-token") == '12:ab"\n好'
    assert secrets.resolve("env:HAOYA_TEST_KEY") == "from outside"
    assert secrets.resolve("env:HAOYA_TEST_KEY") == "from outside", "it is asked for again"
    assert secrets.resolve("1234:plain") == "1234:plain"


@pytest.mark.parametrize("value", ["secret:none", "env:HAOYA_NO_SUCH"])
def test_a_secret_that_is_not_there_is_a_fault_with_a_cure(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Secrets().resolve(value)
    assert caught.value.cure


def test_while_the_vault_is_shut_every_secret_says_why() -> None:
    secrets = Secrets()
    secrets.trouble = Unready("the keyring is locked")
    with pytest.raises(Unready, match="keyring is locked"):
        secrets.resolve("secret:a")
    secrets.trouble = ConfigError("wrong passphrase", cure="try again")
    with pytest.raises(ConfigError, match="wrong passphrase") as caught:
        secrets.credential("a", "https://a.example")
    assert caught.value.cure == "try again"


def test_a_bound_secret_goes_to_its_places_alone() -> None:
    secrets = holding(Held(name="k", text=KEY, origins=("https://api.example.com",)))
    good = frozenset({"https://api.example.com"})
    assert secrets.resolve("secret:k", good) == KEY
    for other in (
        "https://api.example.com.evil.net",
        "http://api.example.com",
        "https://api.example.com:8443",
        "https://evil.net",
    ):
        with pytest.raises(
            ConfigError, match=r"may go to https://api\.example\.com, not"
        ) as caught:
            secrets.resolve("secret:k", frozenset({other}))
        assert "haoya secrets bind k" in caught.value.cure
        assert KEY not in str(caught.value)
        with pytest.raises(ConfigError, match="may not go to"):
            secrets.credential("k", other)
    assert secrets.credential("k", "https://API.example.com:443/v1/chat?x") == KEY


@pytest.mark.parametrize("address", ["", "api.example.com", "//x", "https://", "https://[", "x:1"])
def test_what_is_no_address_gets_no_credential(address: str) -> None:
    secrets = holding(Held(name="k", text=KEY, origins=("https://a",)), Held(name="free", text="v"))
    with pytest.raises(ConfigError):
        secrets.credential("k", address)
    with pytest.raises(ConfigError, match="bound to no place"):
        secrets.credential("free", "https://a")


@given(st.text(), st.text())
def test_an_origin_never_says_more_than_scheme_host_and_port(path: str, user: str) -> None:
    """Whatever follows or precedes the host: a credential's place cannot be talked into another."""
    address = f"https://api.example.com/{path}"
    assert origin_of(address) in ("https://api.example.com", "")
    assert origin_of(f"https://{user.replace('/', '')}@api.example.com") in (
        "https://api.example.com",
        *("",),
        origin_of(f"https://{user.replace('/', '').partition('?')[0].partition('#')[0]}"),
    )


def test_a_section_names_its_places_and_a_plugin_fills_in_its_own() -> None:
    def places(kind: Any, use: str, **table: object) -> frozenset[str]:
        return origins_of(kind, PartSettings(use=use, table=dict(table)))

    assert places("channel", "telegram", token="1:a") == {"https://api.telegram.org"}
    local = places("model", "openai", base_url="http://127.0.0.1:8081/v1", model="m")
    assert local == {"http://127.0.0.1:8081"}
    assert places("channel", "irc", host="irc.example.org", nick="h") == {
        "tcp://irc.example.org:6697"
    }
    assert places("model", "openai", broken=1) == frozenset()
    assert places("model", "no such plugin") == frozenset()


def test_plain_secrets_get_names_that_nobody_else_has() -> None:
    settings = read(
        {
            "api": {"token": "a-plain-token"},
            "models": {
                "x": {"use": "openai", "base_url": "https://a/v1", "model": "m", "api_key": KEY},
                "y": {"use": "openai", "base_url": "https://b/v1", "model": "m",
                      "api_key": "secret:y-api-key"},
            },
            "channels": {
                "x": {"use": "telegram", "token": "1:abc"},
                "y": {"use": "telegram", "token": "env:TOKEN"},
            },
            "tools": {"y": {"use": "files", "api_key": "plain-one"}},
        }
    )  # fmt: skip
    found = {plain.name: plain for plain in plain_values(settings)}
    assert set(found) == {"api-token", "x-token", "x-api-key", "tools-y-api-key"}
    assert found["x-api-key"].path == ("models", "x", "api_key")
    assert found["x-api-key"].origins == ("https://a",)
    assert found["api-token"].path == ("api", "token")
    assert KEY not in repr(found)
    assert wanted_origins(settings) == {"y-api-key": ("https://b",)}


def test_nothing_that_is_printed_or_logged_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    secrets = holding(Held(name="k", text=KEY), Held(name="short", text="abc"))
    redact_output(secrets.redactor)
    handler = logging.StreamHandler()
    logger = logging.getLogger("haoya.test.redaction")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.warning("the server said %r", f"bad key {KEY}")
        raise ValueError(f"Bearer {KEY}")
    except ValueError as error:
        logger.exception("it broke")
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        logger.removeHandler(handler)
    print("and here:", KEY, "abc stays", sys.stdout.encoding)
    assert KEY not in out.getvalue() + err.getvalue()
    assert err.getvalue().count("[secret:k]") >= 3
    assert "abc stays" in out.getvalue(), "a short one would blot out ordinary words"


@pytest.mark.parametrize(
    "value", ['with "quotes" and \\', "sp ace/slash+", "好的密码是这个呀呀呀", KEY]
)
def test_a_secret_is_found_in_every_spelling_it_travels_in(value: str) -> None:
    redactor = Redactor()
    redactor.learn([("k", value)])
    for spelled in (
        value,
        f'{{"error": "key {value!s}"}}',
        ModelFailed(turn=1, step=1, model="m", error=value).error,
    ):
        assert value not in redactor.clean(spelled)
    bundle = "-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0B\nAQEFAASCAUAwggE8AgEAAkE\n-----END-----"
    redactor.learn([("pem", bundle)])
    assert "MIIBVgIBADANBgkqhkiG9w0B" not in redactor.clean("it holds MIIBVgIBADANBgkqhkiG9w0B")


def test_no_line_of_the_journal_holds_a_secret(tmp_path: Path) -> None:
    secrets = holding(Held(name="k", text=KEY), Held(name="q", text='qu"ote\\d 好好好好'))
    address = Address(channel="c", room="r")

    async def body() -> None:
        async with open_journal(tmp_path, censor=secrets.redactor) as journal:
            for value in (KEY, 'qu"ote\\d 好好好好'):
                failed = ModelFailed(turn=1, step=1, model="m", error=f"401: bad key {value}!")
                (entry,) = await journal.append(address, failed)
                assert isinstance(entry.event, ModelFailed)
                assert value not in entry.event.error
            plain = ModelFailed(turn=1, step=1, model="m", error="401: bad key")
            (entry,) = await journal.append(address, plain)
            assert entry.event == plain
            errors = [e.event for e in await journal.read(address.key)]
            assert "401: bad key [secret:k]!" in [getattr(event, "error", "") for event in errors]

    run(body)
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()
        assert "好好好好".encode() not in path.read_bytes()


def test_the_board_shows_no_secret() -> None:
    secrets = holding(Held(name="k", text=KEY))
    board = Board(clean=secrets.redactor.clean)
    board.report("models.main", "parked", f"401 Incorrect API key provided: {KEY}")
    board.find(
        "x", Finding(id="a", severity="info", section="s", message=f"it is {KEY}", cure="none")
    )
    assert KEY not in repr(board.health) + repr(board.all_findings())


def test_nothing_that_holds_secrets_shows_them() -> None:
    secrets = holding(Held(name="k", text=KEY))
    assert KEY not in f"{secrets!r} {secrets} {Held(name='k', text=KEY)!r}"
