# SPDX-License-Identifier: AGPL-3.0-or-later
"""Saved slots on disk: their names, and what is removed when there is too much."""

import os
from pathlib import Path

import msgspec

from haoya.core.tool import Line, Prompt, ToolSpec
from haoya.inference.kv import (
    MAX_PREFIXES,
    SavedSlots,
    beginning_file,
    beginning_of,
    conversation_file,
)

SYSTEM = Line(role="system", text="Be kind.")
TOOL = ToolSpec(name="clock", purpose="The time", schema=msgspec.Raw(b'{"type":"object"}'))


def saved(folder: Path, max_bytes: int = 10_000, kind: str = "model:engine") -> SavedSlots:
    slots = SavedSlots(folder, kind, max_bytes)
    slots.prepare()
    return slots


def put(slots: SavedSlots, name: str, size: int, age: float) -> Path:
    path = slots.folder / name
    path.write_bytes(b"x" * size)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_the_beginning_is_what_all_prompts_of_an_agent_share() -> None:
    one = Prompt(lines=(SYSTEM, Line(role="user", text="hi")), tools=(TOOL,), conversation="a")
    two = Prompt(lines=(SYSTEM, Line(role="user", text="你好"), SYSTEM), tools=(TOOL,))
    first, second = beginning_of(one), beginning_of(two)
    assert first and second and beginning_file(first) == beginning_file(second)
    other = beginning_of(Prompt(lines=(SYSTEM,)))
    assert other and beginning_file(other) != beginning_file(first)
    assert beginning_of(Prompt(lines=(Line(role="user", text="hi"),))) is None


def test_a_name_says_nothing_about_who_speaks() -> None:
    assert "mum" not in conversation_file("tg//mum")
    assert conversation_file("tg//mum") != conversation_file("tg//dad")


def test_caches_of_another_engine_are_not_taken_for_ours(tmp_path: Path) -> None:
    put(saved(tmp_path, kind="model:engine:1"), "talk-a.kv", 10, 0)
    assert saved(tmp_path, kind="model:engine:1").has("talk-a.kv")
    assert not saved(tmp_path, kind="model:engine:2").has("talk-a.kv")


def test_the_longest_unused_is_removed_first_whoever_made_it(tmp_path: Path) -> None:
    old, new = saved(tmp_path, kind="1", max_bytes=250), saved(tmp_path, kind="2", max_bytes=250)
    oldest = put(old, "talk-a.kv", 100, 30)
    kept = [put(new, "talk-b.kv", 100, 20), put(new, "begin-c.kv", 100, 10)]
    new.make_room()
    assert not oldest.exists() and all(path.exists() for path in kept)


def test_use_makes_a_file_young(tmp_path: Path) -> None:
    slots = saved(tmp_path, max_bytes=150)
    used, unused = put(slots, "talk-a.kv", 100, 30), put(slots, "talk-b.kv", 100, 20)
    assert slots.has("talk-a.kv")
    slots.make_room()
    assert used.exists() and not unused.exists()


def test_only_so_many_beginnings_are_kept(tmp_path: Path) -> None:
    slots = saved(tmp_path)
    paths = [put(slots, f"begin-{i}.kv", 1, -i) for i in range(MAX_PREFIXES + 3)]
    slots.make_room()
    assert [path.exists() for path in paths] == [False] * 3 + [True] * MAX_PREFIXES


def test_an_empty_file_is_no_cache(tmp_path: Path) -> None:
    slots = saved(tmp_path)
    put(slots, "talk-a.kv", 0, 0)
    assert not slots.has("talk-a.kv") and not slots.has("talk-b.kv")


def test_the_folder_is_for_the_owner_alone(tmp_path: Path) -> None:
    assert saved(tmp_path).folder.stat().st_mode & 0o777 == 0o700
