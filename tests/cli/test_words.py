# SPDX-License-Identifier: AGPL-3.0-or-later
"""Both languages say the same things, and everything that is said stands in both."""

import re
import string
from pathlib import Path
from typing import get_args

import pytest

import haoya.cli
from haoya.cli.answers import Severity
from haoya.cli.app import COMMANDS
from haoya.cli.report import STATES
from haoya.cli.words import Language, catalogue, language, say
from haoya.policy.vault.words import Source

SOURCES = sorted(Path(haoya.cli.__file__).parent.glob("*.py"))
KEY = re.compile(r"\bsay\(\s*\"([a-z_.]+)\"")
DONE = re.compile(r"_done\(view, \w+, \"([a-z.]+)\"\)|_done\(view, \"([a-z.]+)\"")


def used() -> set[str]:
    text = "\n".join(path.read_text() for path in SOURCES)
    keys = set(KEY.findall(text)) | {a or b for a, b in DONE.findall(text)}
    keys |= set(re.findall(r"say\(\"([a-z_.]+)\" if ", text))
    keys |= set(re.findall(r"\"([a-z_]+\.[a-z_.]+)\" if [^\n]*? else \"", text))
    keys |= set(re.findall(r" if [^\n]*? else \"([a-z_]+\.[a-z_.]+)\"", text))
    groups = {words.rpartition(" ")[0] for words in COMMANDS} - {""}
    keys |= {f"help.{words.replace(' ', '.')}" for words in [*COMMANDS, *groups, "haoya"]}
    keys |= {f"state.{name}" for name in STATES}
    keys |= {f"secrets.source.{name}" for name in get_args(Source)}
    return keys | {f"severity.{name}" for name in get_args(Severity)}


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_both_catalogues_have_the_same_keys_and_placeholders() -> None:
    one, other = (catalogue(code) for code in get_args(Language))
    assert one.keys() == other.keys()
    for key in one:
        assert placeholders(one[key]) == placeholders(other[key]), key


def test_every_key_in_use_exists_and_none_is_left_over() -> None:
    assert used() == set(catalogue("en"))


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "en_US.UTF-8", "HAOYA_LANG": "zh"}, "zh"),
        ({}, "en"),
    ],
)
def test_the_locale_chooses_the_language(
    set_to: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HAOYA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert language() == expected
    assert ("守护进程" in say("daemon.gone")) == (expected == "zh")
