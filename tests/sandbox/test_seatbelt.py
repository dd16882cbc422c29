# SPDX-License-Identifier: AGPL-3.0-or-later
"""The text of a profile; whether it holds can only be tried on a Mac."""

import re
import sys

import pytest

from haoya.core.errors import ConfigError
from haoya.core.sandbox import Mount
from haoya.sandbox.seatbelt import command, profile

READ = Mount(path="/Volumes/x/skill", at="/skill")
WRITE = Mount(path="/Volumes/x/work space", at="/work", writable=True)


def test_all_is_denied_but_what_is_named() -> None:
    text = profile("/private/tmp/x", (READ, WRITE))
    assert text.splitlines()[:2] == ["(version 1)", "(deny default)"]
    assert "(allow default)" not in text and "network" not in text
    written = [line for line in text.splitlines() if "allow" in line and "file-write*" in line]
    assert [re.findall(r'"(.*?)"', line) for line in written] == [
        ["/private/tmp/x"],
        ["/Volumes/x/work space"],
    ]


def test_a_way_out_is_one_port() -> None:
    assert '(remote ip "localhost:3128")' in profile("/t", (), port=3128)


@pytest.mark.parametrize("path", ['/a"b', "/a\\b", '/a") (allow default) ("', "/a\nb"])
def test_a_path_cannot_add_rules(path: str) -> None:
    with pytest.raises(ConfigError):
        profile("/t", (Mount(path=path, at="/x"),))


def test_the_words_of_the_program_stay_words() -> None:
    assert command(("echo", "$HOME; ls"), "(p)")[-2:] == ("echo", "$HOME; ls")


@pytest.mark.skipif(sys.platform != "darwin", reason="Seatbelt is part of macOS")
def test_the_profile_is_accepted_by_macos() -> None:
    pytest.fail("make the tries of escapes.py under Seatbelt before the level is opened")
