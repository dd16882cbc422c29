# SPDX-License-Identifier: AGPL-3.0-or-later
"""The page of the channels tells what a run of the suite found (runs after it, by its name)."""

from tests.conformance.cases import CASES
from tests.conformance.counterpart import registered
from tests.conformance.matrix import PAGE, Outcome, Outcomes, page

CURE = "run: python -m tests.conformance.matrix"


def test_page_shows_this_run(outcomes: Outcomes) -> None:
    whole = {name: outcome for name, outcome in outcomes.items() if outcome.light != "⚪"}
    shown = PAGE.read_text(encoding="utf-8")
    if set(whole) == set(registered()):
        assert shown == page(outcomes), CURE


def test_page_has_all_channels_and_cases() -> None:
    shown = PAGE.read_text(encoding="utf-8")
    header = next(line for line in shown.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in header.split("|") if cell.strip()] == sorted(registered()), (
        CURE
    )
    for case in CASES:
        assert f"| {case.name}: {case.claim} |" in shown, CURE


def test_light_is_green_only_against_what_others_wrote() -> None:
    passed = {case.name: "pass" for case in CASES}
    assert Outcome(evidence="real", server="ircd", cases=passed).light == "🟢"
    assert Outcome(evidence="emulator", server="e", cases=passed).light == "🟢"
    assert Outcome(evidence="stand-in", server="ours", cases=passed).light == "🟡"
    failed = passed | {"cut": "fail"}
    assert Outcome(evidence="real", server="ircd", cases=failed).light == "🔴"
    assert Outcome(evidence="real", server="ircd", missing="not here").light == "⚪"
