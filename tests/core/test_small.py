# SPDX-License-Identifier: AGPL-3.0-or-later
"""Errors, phrases, schemas, the place of the socket."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from haoya.core.errors import ConfigError, Throttled, Unready
from haoya.core.phrases import PHRASES, language_of, phrase
from haoya.core.place import SOCKET_PATH_BYTES, check_private, socket_path
from haoya.core.schema import schema_of


def test_an_error_says_how_long_to_wait_and_what_to_do() -> None:
    assert Unready("gone").retry_after is None and Unready("gone").reached
    slow = Throttled("slow down", retry_after=3)
    assert slow.retry_after == 3 and not slow.reached
    assert isinstance(slow, Unready)
    assert ConfigError("no", cure="write yes").cure == "write yes"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("hello", "en"),
        ("你好", "zh"),
        ("ok 好", "zh"),
        ("", "en"),
        ("こんにちは", "en"),
        ("漢字", "zh"),
    ],
)
def test_language_of_a_person(text: str, language: str) -> None:
    assert language_of(text) == language


def test_a_phrase_nobody_wrote_is_a_fault() -> None:
    with pytest.raises(KeyError):
        phrase("no such phrase", "en")
    assert phrase("paired", "zh") == PHRASES["paired"][1]


class Inner(msgspec.Struct):
    """Words a model need not read."""

    x: int = 0


class Arguments(msgspec.Struct):
    """What a tool takes."""

    path: Annotated[str, msgspec.Meta(description="where")]
    mode: Literal["r", "w"] = "r"
    inner: Inner | None = None
    names: list[str] = []
    title: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1)] = 5


def test_a_schema_holds_only_what_a_model_needs() -> None:
    schema: dict[str, Any] = msgspec.json.decode(schema_of(Arguments))
    properties = schema["properties"]
    assert schema["required"] == ["path"]
    assert list(properties) == ["path", "mode", "inner", "names", "title", "limit"]
    assert properties["path"] == {"type": "string", "description": "where"}
    assert properties["mode"]["enum"] == ["r", "w"]
    assert properties["limit"] == {"type": "integer", "minimum": 1, "default": 5}
    assert "default" not in properties["title"] and "default" not in properties["inner"]
    text = bytes(schema_of(Arguments)).decode()
    assert "$ref" not in text and "Words a model" not in text and '"title":"' not in text
    assert bytes(schema_of(Arguments)) == text.encode()


class Empty(msgspec.Struct):
    """Nothing to say."""


def test_a_tool_without_arguments_has_the_smallest_schema() -> None:
    assert bytes(schema_of(Empty)) == b'{"type":"object","properties":{}}'


def test_a_long_home_has_its_socket_in_tmp_and_always_the_same(tmp_path: Path) -> None:
    near = socket_path(tmp_path)
    assert near == tmp_path / "run" / "local.sock" or len(os.fsencode(near)) <= SOCKET_PATH_BYTES
    far = tmp_path / ("x" * 120)
    path = socket_path(far)
    assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES
    assert path == socket_path(far) != socket_path(tmp_path / ("y" * 120))
    far.mkdir()
    assert socket_path(far) == path


def test_a_folder_others_may_enter_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    check_private(folder, os.getuid())
    folder.chmod(0o750)
    with pytest.raises(ConfigError, match="open to other users"):
        check_private(folder, os.getuid())
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match="not a folder"):
        check_private(file, os.getuid())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_strangers_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        check_private(folder, os.getuid())
