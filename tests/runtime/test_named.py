# SPDX-License-Identifier: AGPL-3.0-or-later
"""What settings name is what parts may reach, and what they hide is known."""

from typing import Any

from haoya.runtime.board import Board
from haoya.runtime.egress import Leak
from haoya.runtime.egress_findings import LEAKS, Leaks, egress_findings, weak_findings
from haoya.runtime.named import known_secrets, reach_of
from haoya.runtime.parts import Wanted, only
from haoya.runtime.settings import Settings, read


def settings(**sections: Any) -> Settings:
    found = read(sections)
    assert not found.findings
    return found


def test_a_part_reaches_the_addresses_in_its_settings_and_its_plugins_defaults() -> None:
    model = only("openai", base_url="http://10.0.0.5:8081/v1", model="m", api_key="secret:main")
    wanted = Wanted(key="models.main", kind="model", name="main", settings=model)
    assert reach_of(wanted) == (["http://10.0.0.5:8081/v1"], ["main"])
    telegram = Wanted(key="channels.tg", kind="channel", name="tg",
                      settings=only("telegram", token="secret:tg-token"))  # fmt: skip
    assert reach_of(telegram) == (["https://api.telegram.org"], ["tg-token"])
    clock = Wanted(key="tools.clock", kind="tools", name="clock", settings=only("clock"))
    assert reach_of(clock) == ([], [])


def test_every_secret_of_the_settings_is_known_wherever_it_stands() -> None:
    address = {"use": "openai", "base_url": "http://x.example/v1"}
    now = settings(
        api={"token": "plain-api-token"},
        models={
            "main": {**address, "api_key": "secret:main"},
            "spare": {**address, "api_key": "env:SPARE_KEY"},
        },
        channels={"tg": {"use": "telegram", "token": "1:plain-token"}},
        downloads={"huggingface_token": "hf_plain"},
    )
    assert known_secrets(now, {"main": "named"}) == {
        "main": "named",
        "api.token": "plain-api-token",
        "channels.tg.token": "1:plain-token",
        "downloads.huggingface_token": "hf_plain",
    }


def test_a_rule_that_names_no_place_is_a_fault_of_its_section() -> None:
    found = read({"egress": {"allow": ["http://x"]}}).findings
    assert [fault.section for fault in found] == ["egress"]
    assert "names no place; write" in found[0].message


def test_idle_rules_and_contradictions_are_told() -> None:
    now = settings(
        egress={"allow": ["10.0.0.5:80", "8.8.8.8"], "deny": ["*.example", "10.0.0.0/8"]},
        models={"main": {"use": "openai", "base_url": "http://x.example/v1"}},
    )
    found = {(one.id, one.section): one for one in egress_findings(now)}
    assert set(found) == {("egress-idle", "egress"), ("egress-denies-part", "models.main")}
    assert "'*.example'" in found["egress-denies-part", "models.main"].message
    assert len(list(egress_findings(now))) == 3
    assert list(egress_findings(settings())) == []


def test_leaks_are_told_once_each_and_not_without_end() -> None:
    board = Board()
    leaks = Leaks(board)
    for number in range(LEAKS + 5):
        for _ in range(2):
            leaks.told(Leak(part="tools.web", host=f"h{number}", names=frozenset({"key"})))
    leaks.told(Leak(part="tools.web", host="h", names=frozenset({"key"}), incoming=True))
    found = board.all_findings()
    assert len(found) == LEAKS
    assert {one.id for one in found} == {"egress-leak"}
    assert "would have sent a secret (key) to h24; it was stopped" in found[-2].message
    assert "was withheld" in found[-1].message


def test_a_secret_too_short_to_look_for_is_told() -> None:
    (one,) = weak_findings(["pin"])
    assert (one.id, one.severity) == ("secret-short", "info")
