# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the files of a home say while no daemon runs."""

from pathlib import Path

from haoya.runtime.offline import call


def found(home: Path) -> list[str]:
    return [finding["id"] for finding in call(home, "doctor", {})["findings"]]


def test_a_journal_that_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all, and longer than a header" * 9)
    assert "journal-damaged" in found(tmp_path)


def test_a_home_without_a_journal_yet_has_no_such_finding(tmp_path: Path) -> None:
    assert "journal-damaged" not in found(tmp_path)
