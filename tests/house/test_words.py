# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the house says and shows: phrases in both languages, commands that exist, no traces."""

import ast
import json
import re
import string

import pytest

from haoya.cli.app import COMMANDS
from haoya.core.phrases import PHRASES
from tests.house.sources import PACKAGE, ROOT, sources, tracked

_COMMAND = re.compile(r"haoya((?: [a-z]+)+)")
_SPAN = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"```(?:sh|bash|console|shell)\n(.*?)```", re.DOTALL)
_HOMES = re.compile(r"(?<![\w.}])/(?:home|root|Users)/[a-z]")
_INDEXES = re.compile(r"--(?:extra-)?index-url\s|^\s*(?:extra-)?index-url\s*=", re.MULTILINE)
WORDS = {"is", "has", "up", "cannot", "knows", "takes", "lives", "runs", "and", "or"}


def test_every_phrase_has_both_languages_with_the_same_holes() -> None:
    for key, (english, chinese) in PHRASES.items():
        assert english.strip() and chinese.strip(), key
        assert _holes(english) == _holes(chinese), key
        assert re.search(r"[\u3400-\u9fff]", chinese), key
        assert not re.search(r"[\u3400-\u9fff]", english), key


def test_every_phrase_is_said_somewhere() -> None:
    said = {
        node.value
        for source in sources()
        if source.place != "core/phrases.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(PHRASES) <= said, set(PHRASES) - said


def test_the_command_line_speaks_both_languages() -> None:
    folder = PACKAGE / "cli" / "locale"
    english, chinese = (json.loads((folder / f"{x}.json").read_text("utf-8")) for x in ("en", "zh"))
    assert english.keys() == chinese.keys()
    assert [k for k in english if _holes(english[k]) != _holes(chinese[k])] == []


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("*.md")))
def test_commands_in_the_pages_at_the_top_exist(name: str) -> None:
    _check_commands(name, (ROOT / name).read_text("utf-8"))


def test_commands_in_the_documentation_exist() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        _check_commands(page.relative_to(ROOT).as_posix(), page.read_text("utf-8"))


def test_commands_named_as_a_cure_exist() -> None:
    for source in sources():
        strings = [
            node.value
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        for text in strings:
            _check_commands(source.place, text)


def test_scripts_named_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for script in re.findall(r"(?<![\w/.])\./([a-z]+)\b(?!/)", text):
        assert (ROOT / script).is_file(), f"README.md names ./{script}"


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        found = _HOMES.search(text)
        assert not found, f"{path.relative_to(ROOT)} names {found and found.group()}"
        assert not _INDEXES.search(text) or path.name == "test_words.py", path


def test_no_file_is_left_over() -> None:
    names = [path.relative_to(ROOT).as_posix() for path in tracked()]
    assert [name for name in names if name.endswith((".orig", ".rej", ".pyc", "~", ".db"))] == []


def _check_commands(where: str, text: str) -> None:
    for code in [*_SPAN.findall(text), *(x for f in _FENCE.findall(text) for x in f.splitlines())]:
        found = _COMMAND.match(code.strip().removeprefix("$ "))
        if not found:
            continue
        words = found[1].split()
        groups = {command.split()[0] for command in COMMANDS}
        if words[0] not in groups:
            assert words[0] in WORDS, f"{where}: there is no `haoya {words[0]}`"
            continue
        known = any(" ".join(words[:n]) in COMMANDS for n in (1, 2, 3))
        alone = any(f"{command} ".startswith(f"{' '.join(words)} ") for command in COMMANDS)
        assert known or alone, f"{where}: there is no `haoya {' '.join(words[:3])}`"


def _holes(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}
