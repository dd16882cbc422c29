# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pass matrix of the channels: `python -m tests.conformance.matrix` runs the suite and
writes `docs/channels.md`."""

import subprocess
import sys
from pathlib import Path

import msgspec

from haoya.core.capabilities import Capabilities
from tests.conformance.cases import CASES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "channels.md"
MARKS = {"pass": "✓", "fail": "✗", "n/a": "–"}
HEAD = """\
# Channels

Written by `python -m tests.conformance.matrix` from a run of the conformance suite
(`tests/conformance`); do not edit. [How to add a channel](howto/add-a-channel.md).

The light: 🟢 every case that applies passes against a real server or an emulator by others;
🟡 every case passes against a stand-in of our own; 🔴 a case fails; ⚪ the far side could not be
had where the suite ran. ✓ passes, ✗ fails, – does not apply to this network.
"""


class Outcome(msgspec.Struct):
    """What a run of the suite found out about one channel."""

    evidence: str
    server: str
    abilities: frozenset[str] = frozenset()
    missing: str = ""
    cases: dict[str, str] = {}
    capabilities: Capabilities | None = None

    @property
    def light(self) -> str:
        """The channel's quality light."""
        if self.missing or len(self.cases) < len(CASES):
            return "⚪"
        if "fail" in self.cases.values():
            return "🔴"
        return "🟡" if self.evidence == "stand-in" else "🟢"


Outcomes = dict[str, Outcome]


def page(outcomes: Outcomes) -> str:
    """The whole of docs/channels.md."""
    names = sorted(outcomes)
    rows = [["", *names], ["---"] * (len(names) + 1)]
    rows.append(["**light**", *(outcomes[name].light for name in names)])
    rows.append(["tested against", *(_against(outcomes[name]) for name in names)])
    for case in CASES:
        marks = [MARKS.get(outcomes[name].cases.get(case.name, ""), "") for name in names]
        rows.append([f"{case.name}: {case.claim}", *marks])
    declared = [["declared", *names], ["---"] * (len(names) + 1)]
    for field in Capabilities.__struct_fields__:
        cells = [_cell(outcomes[name].capabilities, field) for name in names]
        declared.append([f"`{field}`", *cells])
    return "\n".join([HEAD, _table(rows), "", _table(declared), ""])


def outcomes_path(root: Path) -> Path:
    """Where a run leaves its outcomes."""
    return root / ".pytest_cache" / "channels.json"


def write_outcomes(path: Path, outcomes: Outcomes) -> None:
    """Keep the outcomes of a run for the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(outcomes))


def main() -> int:
    """Run the suite and write the page; the suite's exit status."""
    suite = Path(__file__).with_name("test_channels.py")
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", suite], cwd=ROOT, check=False)
    outcomes = msgspec.json.decode(outcomes_path(ROOT).read_bytes(), type=Outcomes)
    PAGE.write_text(page(outcomes), encoding="utf-8")
    return run.returncode


def _against(outcome: Outcome) -> str:
    return f"{outcome.server} ({outcome.evidence})"


def _cell(capabilities: Capabilities | None, field: str) -> str:
    if capabilities is None:
        return ""
    value = getattr(capabilities, field)
    if isinstance(value, frozenset):
        return " ".join(sorted(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
