# SPDX-License-Identifier: AGPL-3.0-or-later
"""Any settings file is understood as far as it can be, and each fault named with its cure."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haoya.policy.access import Access
from haoya.runtime.home import Home, home_folder
from haoya.runtime.offline import check, schema
from haoya.runtime.secrets import plain_secrets
from haoya.runtime.settings import Finding, Settings, load, read, remember_good
from tests.runtime.nasty import FILES, tables

slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)


def home_with(folder: Path, text: str | bytes | None = None) -> Home:
    home = Home(folder=folder)
    if text is not None:
        folder.mkdir(parents=True, exist_ok=True)
        home.settings.write_bytes(text.encode() if isinstance(text, str) else text)
    return home


def told(found: Settings | list[Finding]) -> list[tuple[str, str]]:
    findings = found.findings if isinstance(found, Settings) else found
    return [(finding.section, finding.message) for finding in findings]


def sound(findings: tuple[Finding, ...] | list[Finding]) -> None:
    """Every finding names a section, a fact and a cure."""
    for finding in findings:
        assert finding.id and finding.section and finding.message.strip() and finding.cure.strip()
        assert finding.severity in ("error", "warning", "info")


@slow
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes_are_some_settings(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = home_with(Path(folder), content)
        found = load(home)
        assert found.agent.name
        sound(found.findings)
        sound(check(home))


@slow
@given(tables)
def test_any_table_is_some_settings_and_its_faults_are_named(table: dict[str, Any]) -> None:
    found = read(table)
    sound(found.findings)
    sound(plain_secrets(found))
    named = {finding.section.split(".")[0] for finding in found.findings}
    for key, value in table.items():
        if key == "unknown" or not isinstance(value, dict):
            assert key in named
    for group in ("channels", "models", "tools"):
        raw = table.get(group)
        for name, part in raw.items() if isinstance(raw, dict) else ():
            kept = name in getattr(found, group)
            off = isinstance(part, dict) and part.get("enabled") is False
            assert kept or off or f"{group}.{name}" in {f.section for f in found.findings}


@slow
@given(tables)
def test_what_one_section_does_wrong_harms_no_other(table: dict[str, Any]) -> None:
    good = {"journal": {"durability": "normal"}, "channels": {"ok": {"use": "irc"}}}
    channels = table.get("channels")
    mixed = {**table, "journal": good["journal"]}
    mixed["channels"] = {**(channels if isinstance(channels, dict) else {}), **good["channels"]}
    found = read(mixed)
    assert found.journal.durability == "normal"
    assert found.channels["ok"].use == "irc"


@pytest.mark.parametrize("name", FILES)
def test_a_nasty_file_is_survived_and_explained(name: str, tmp_path: Path) -> None:
    home = home_with(tmp_path, FILES[name])
    findings = check(home)
    sound(findings)
    if name not in ("empty", "dead servers", "bom"):
        assert any(finding.severity == "error" for finding in findings) or name == "missing secrets"


def test_a_mark_at_the_beginning_as_windows_writes_it_is_no_fault(tmp_path: Path) -> None:
    found = load(home_with(tmp_path, FILES["bom"]))
    assert found.agent.name == "x" and not found.findings


def test_the_good_settings_of_a_broken_section_are_kept() -> None:
    found = read({"agent": {"name": "Ada", "max_steps": 0, "mood": "fine", "gather": True}})
    assert (found.agent.name, found.agent.max_steps, found.agent.gather) == ("Ada", 12, True)
    assert {message for _, message in told(found)} == {
        "[agent] max_steps: Input should be greater than or equal to 1",
        "[agent] has no setting 'mood'",
    }


def test_without_a_file_all_is_at_its_default(tmp_path: Path) -> None:
    found = load(home_with(tmp_path))
    assert found.agent.models == ["main"] and not found.channels
    assert [finding.id for finding in found.findings] == ["settings-missing"]


def test_a_file_that_is_no_toml_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    home = home_with(tmp_path, "[agent]\nname = 'Ada'\n")
    assert load(home).agent.name == "Ada"
    remember_good(home)
    home.settings.write_text("[agent\nname = 'Bob'\n")
    found = load(home)
    assert found.agent.name == "Ada"
    assert "the last good settings are used" in found.findings[0].message
    home.last_good.write_bytes(FILES["deep"])
    assert load(home).agent.name == "haoya"
    home.last_good.write_bytes(FILES["long number"])
    assert load(home).agent.name == "haoya"


def test_the_copy_of_good_settings_is_private_and_needs_no_room(tmp_path: Path) -> None:
    home = home_with(tmp_path / "home", "[agent]\nname = 'Ada'\n")
    remember_good(home)
    assert home.last_good.stat().st_mode & 0o077 == 0
    home.settings.unlink()
    remember_good(home)
    assert home.last_good.exists()


def test_access_is_a_word_or_a_list_of_ids() -> None:
    found = read(
        {
            "channels": {
                "a": {"use": "irc"},
                "b": {"use": "irc", "access": "open"},
                "c": {"use": "irc", "access": [7, "8"]},
                "d": {"use": "irc", "access": "everybody"},
                "e": {"use": "irc", "enabled": False},
                "f": {"use": "irc", "access": [True]},
            }
        }
    )
    rules = {name: part.access for name, part in found.channels.items()}
    assert rules == {
        "a": Access(),
        "b": Access(mode="open"),
        "c": Access(mode="list", ids=frozenset({"7", "8"})),
    }
    assert {section for section, _ in told(found)} == {"channels.d", "channels.f"}


@pytest.mark.parametrize("name", ["local", "a/b", "", "..", "a b", "a\n", "-x", "x" * 41])
def test_a_part_whose_name_is_no_name_is_refused(name: str) -> None:
    found = read({"channels": {name: {"use": "irc"}}})
    assert not found.channels and found.findings


def test_owners_and_cells_are_checked_where_they_stand() -> None:
    found = read({"policy": {"owners": ["me"], "verdicts": {"owner.fly": "ask"}}})
    assert "'me' is no person" in str(told(found)) and "'owner.fly' is no cell" in str(told(found))
    assert not found.policy.owners and not found.policy.verdicts


def test_the_check_of_the_terminal_sees_into_the_plugins(tmp_path: Path) -> None:
    home = home_with(tmp_path, FILES["wrong parts"])
    sections = {finding.section for finding in check(home)}
    assert {"channels.tg", "channels.irc", "channels.x", "models.main", "models.s"} <= sections
    assert schema()["properties"]["channels"]["additionalProperties"]["anyOf"]


def test_a_model_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    text = "[agent]\nmodel = 'big'\n[models.small]\nuse = 'script'\n"
    (finding,) = check(home_with(tmp_path, text))
    assert finding.id == "agent-model" and "the models are: small" in finding.message


def test_a_secret_in_plain_sight_is_a_warning(tmp_path: Path) -> None:
    found = read(
        {
            "api": {"token": "abc"},
            "models": {"main": {"use": "openai", "api_key": "sk-1"}},
            "channels": {"tg": {"use": "telegram", "token": "secret:tg"}, "i": {"use": "irc"}},
        }
    )
    warnings = plain_secrets(found)
    assert {warning.section for warning in warnings} == {"api", "models.main"}
    assert "haoya secrets set main-api-key" in warnings[1].cure
    assert not any("sk-1" in warning.message + warning.cure for warning in warnings)


def test_the_home_is_the_one_named_then_the_environments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HAOYA_HOME", str(tmp_path / "env"))
    assert home_folder(tmp_path / "named") == tmp_path / "named"
    assert home_folder() == tmp_path / "env"
    monkeypatch.delenv("HAOYA_HOME")
    assert home_folder() == Path.home() / ".haoya"


def test_what_the_terminal_writes_the_house_reads(tmp_path: Path) -> None:
    table = {"agent": {"name": "Ada"}, "channels": {"i": {"use": "irc", "access": ["7"]}}}
    found = load(home_with(tmp_path, tomlkit.dumps(table)))
    assert found.agent.name == "Ada" and not found.findings


def test_rules_about_what_may_leave_are_judged_with_the_rest(tmp_path: Path) -> None:
    text = """
[policy]
leave = { "tq:1" = "here" }
[channels.tg]
use = "irc"
host = "h"
nick = "n"
[models.main]
use = "openai"
base_url = "https://api.example.org/v1"
model = "m"
"""
    found = [one for one in check(home_with(tmp_path, text)) if one.id == "policy-leave"]
    assert [one.severity for one in found] == ["warning", "warning"]
    assert "no channel 'tq'" in found[0].message
    assert "no model in [agent] model is here" in found[1].message
    sound(found)


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"use": "script"}, "here"),
        ({"use": "local"}, "here"),
        ({"use": "peer"}, "own"),
        ({"use": "openai", "base_url": "http://127.0.0.1:1/v1"}, "here"),
        ({"use": "openai", "base_url": "http://[::1]:1/v1"}, "here"),
        ({"use": "openai", "base_url": "http://localhost:1/v1"}, "here"),
        ({"use": "openai", "base_url": "http://192.168.1.2/v1"}, "outside"),
        ({"use": "openai", "base_url": "http://127.0.0.1.example.org/v1"}, "outside"),
        ({"use": "openai", "base_url": "http://127.0.0.1@example.org/v1"}, "outside"),
        ({"use": "openai", "base_url": 7}, "outside"),
        ({"use": "ollama", "model": "m"}, "here"),
        ({"use": "ollama", "model": "m:120b-cloud"}, "outside"),
        ({"use": "ollama", "base_url": "http://192.168.1.2:11434"}, "outside"),
        ({"use": "anthropic", "model": "m"}, "outside"),
        ({"use": "some-plugin"}, "outside"),
        ({"use": "some-plugin", "place": "own"}, "own"),
    ],
)
def test_where_a_model_thinks_is_told_by_its_section(part: dict[str, Any], place: str) -> None:
    found = read({"models": {"m": part}})
    assert found.frames["m"].place_of(found.models["m"].table) == place
    assert "place" not in found.models["m"].table


def test_a_new_price_changes_nothing_for_the_part_itself() -> None:
    one = read({"models": {"m": {"use": "script", "price_in": 1}}})
    other = read({"models": {"m": {"use": "script", "price_in": 2, "lacks": ["tools"]}}})
    assert one.models == other.models
    assert one.frames != other.frames


def test_weights_are_presets_or_numbers() -> None:
    assert read({"router": {"prefer": "price"}}).router.weights.price == 0.6
    found = read({"router": {"prefer": {"first": 2}}})
    assert (found.router.weights.first, found.router.weights.price) == (2, 0)
    found = read({"router": {"prefer": {"size": 2}, "hedge_seconds": 1}})
    assert told(found)
    assert found.router.hedge_seconds == 1
