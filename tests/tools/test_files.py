# SPDX-License-Identifier: AGPL-3.0-or-later
"""The file tools on a real folder: they do their work and cannot be led out of it."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haoya.tools.files import plugin, search, workspace
from tests.tools.lent import Box, box

SECRET = "the secret outside"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a few files, and a secret beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text(SECRET)
    root = tmp_path / "work"
    (root / "notes").mkdir(parents=True)
    (root / "notes" / "tea.md").write_text("# Tea\nGreen tea, 80 °C\n绿茶 要用八十度的水\n")
    (root / "plan.txt").write_text("buy a kettle\n")
    return root


def run(root: Path, work: Callable[[Box], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with box(plugin, root.parent, workspace=root) as tools:
            await work(tools)

    asyncio.run(inside())


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_are_read_listed_written_and_found(root: Path) -> None:
    async def work(tools: Box) -> None:
        assert (await tools.run("read_file", path="plan.txt")).text == "buy a kettle\n"
        assert (await tools.run("list_files")).text == "notes/\nplan.txt 13"
        assert (await tools.run("read_file", path="notes")).text == "tea.md 53"
        wrote = await tools.run("write_file", path="a/b/c.txt", text="one\n")
        assert (wrote.ok, wrote.text) == (True, "a/b/c.txt has 4 bytes now")
        await tools.run("write_file", path="a/b/c.txt", text="two\n", mode="append")
        assert (await tools.run("read_file", path=f"{root}/a/b/c.txt")).text == "one\ntwo\n"
        await tools.run("write_file", path="a/b/c.txt", text="", mode="replace")
        assert (await tools.run("read_file", path="./a//b/c.txt")).text == "[empty]"
        found = (await tools.run("search_files", query="tea green")).text
        assert found == "notes/tea.md:2: Green tea, 80 °C"
        assert "notes/tea.md:3: 绿茶" in (await tools.run("search_files", query="绿茶")).text
        assert (await tools.run("search_files", query="TEA.MD")).text == "notes/tea.md"
        assert (await tools.run("search_files", query="kettle", path="notes")).text.startswith("no")

    run(root, work)


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.txt",
        "notes/../../outside/secret.txt",
        "/etc/passwd",
        "~/x",
        "nul\0byte",
        "a\\b",
        "new\nline",
        "x" * 256,
        "d/" * 40 + "x",
        "link.txt",
        "linked/secret.txt",
        "notes/deep/secret.txt",
        "pipe",
        "socket",
        "plan.txt/below",
    ],
)
def test_no_path_leads_out_or_into_what_is_no_file(
    root: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = root.parent / "outside"
    (root / "link.txt").symlink_to(outside / "secret.txt")
    (root / "linked").symlink_to(outside)
    (root / "notes" / "deep").symlink_to("../../outside")
    os.mkfifo(root / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(root)  # a socket's whole path may have no more than 107 bytes
    listening.bind("socket")

    async def work(tools: Box) -> None:
        for name, more in (("read_file", {}), ("write_file", {"text": "x"}), ("list_files", {})):
            result = await tools.run(name, path=path, **more)
            assert not result.ok, (name, result.text)
            assert SECRET not in result.text
        result = await tools.run("write_file", path=path, text="x", mode="append")
        assert not result.ok
        assert SECRET not in (await tools.run("search_files", query="secret")).text

    run(root, work)
    listening.close()
    assert contents(outside) == {"secret.txt": SECRET.encode()}


def test_exchanging_a_folder_for_a_link_meanwhile_reaches_nothing_outside(root: Path) -> None:
    outside, inside, door = root.parent / "outside", root / "inside", root / "door"
    inside.mkdir()
    (inside / "secret.txt").write_text("harmless")
    (root / "out").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        graves = 0
        while not stop.is_set():
            for target in (inside, root / "out"):
                try:
                    target.rename(door)
                except OSError:  # the writer has made a folder of that name in the gap
                    graves += 1
                    door.rename(root / f"grave{graves}")
                else:
                    door.rename(target)

    swapper = threading.Thread(target=swap)
    swapper.start()
    answers: set[str] = set()
    try:
        deadline, i = time.monotonic() + 60, 0
        while i < 400 or not {"harmless", "ValueError"} <= answers:
            assert time.monotonic() < deadline
            i += 1
            for work in (
                lambda: workspace.read(root, "door/secret.txt", 0),
                lambda i=i: workspace.write(root, f"door/made{i % 5}.txt", "x", append=bool(i % 2)),
                lambda: workspace.listed(root, "door"),
                lambda: search.search(root, "secret", ""),
            ):
                try:
                    answers.add(work())
                except (ValueError, OSError) as e:
                    answers.add(type(e).__name__)
    finally:
        stop.set()
        swapper.join()
    assert not any(SECRET in answer for answer in answers)
    assert contents(outside) == {"secret.txt": SECRET.encode()}


def test_exchanging_a_file_for_a_link_meanwhile_reads_nothing_outside(root: Path) -> None:
    plain, link, door = root / "plain", root / "link", root / "door"
    plain.write_text("harmless")
    link.symlink_to(root.parent / "outside" / "secret.txt")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for target in (plain, link):
                target.rename(door)
                door.rename(target)

    swapper = threading.Thread(target=swap)
    swapper.start()
    answers: set[str] = set()
    try:
        deadline, i = time.monotonic() + 60, 0
        while i < 3000 or not {"harmless", "ValueError"} <= answers:
            assert time.monotonic() < deadline
            i += 1
            try:
                answers.add(workspace.read(root, "door", 0))
            except (ValueError, OSError) as e:
                answers.add(type(e).__name__)
    finally:
        stop.set()
        swapper.join()
    assert SECRET not in answers


def test_long_files_are_read_in_steps_cut_between_characters(root: Path) -> None:
    text = "茶" * 50_000
    (root / "long.txt").write_text(text)

    async def work(tools: Box) -> None:
        first = (await tools.run("read_file", path="long.txt")).text
        body, note = first.split("\n")
        offset = int(note.rstrip("]").rsplit(" ", 1)[1])
        assert offset == len(body.encode()) <= workspace.READ_BYTES
        second = (await tools.run("read_file", path="long.txt", offset=offset)).text
        third = (await tools.run("read_file", path="long.txt", offset=2 * offset)).text
        assert body + second.split("\n")[0] + third == text
        assert (await tools.run("read_file", path="long.txt", offset=10**9)).ok
        assert (await tools.run("read_file", path="long.txt", offset=1)).text.startswith("茶")

    run(root, work)


def test_binary_and_too_large_are_refused_with_words(root: Path) -> None:
    (root / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" * 100)
    (root / "data.bin").write_bytes(b"abc\0def")

    async def work(tools: Box) -> None:
        for name in ("photo.jpg", "data.bin"):
            result = await tools.run("read_file", path=name)
            assert not result.ok
            assert "cannot be read here" in result.text
        large = await tools.run("write_file", path="big", text="x" * (workspace.WRITE_BYTES + 1))
        assert "use several files" in large.text
        await tools.run("write_file", path="big", text="x" * workspace.WRITE_BYTES)
        more = await tools.run("write_file", path="big", text="x", mode="append")
        assert not more.ok
        assert (root / "big").stat().st_size == workspace.WRITE_BYTES
        assert "list_files" in (await tools.run("read_file", path="none.txt")).text

    run(root, work)


def test_writing_keeps_the_mode_and_leaves_nothing_beside(root: Path) -> None:
    (root / "run.sh").write_text("old")
    (root / "run.sh").chmod(0o750)
    held = (root / "run.sh").open()

    async def work(tools: Box) -> None:
        await tools.run("write_file", path="run.sh", text="new")

    run(root, work)
    assert held.read() == "old"  # a reader of before still has the whole old file
    held.close()
    assert (root / "run.sh").read_text() == "new"
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o750
    assert sorted(path.name for path in root.iterdir()) == ["notes", "plan.txt", "run.sh"]


def test_a_half_written_file_is_hidden_and_cleared(root: Path) -> None:
    async def work(tools: Box) -> None:
        await tools.run("write_file", path="x.txt", text="1")
        beside = root / f".haoya-{zlib.crc32(b'x.txt'):08x}.tmp"
        beside.write_text("half")
        assert "haoya" not in (await tools.run("list_files")).text
        assert "haoya" not in (await tools.run("search_files", query="half")).text
        await tools.run("write_file", path="x.txt", text="2")
        assert not beside.exists()

    run(root, work)


def test_a_full_disk_is_told_and_the_old_file_stays(root: Path) -> None:
    program = """
import resource, signal, sys
from pathlib import Path
from haoya.tools.files import workspace
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    workspace.write(Path(sys.argv[1]), "plan.txt", "x" * 5000, append=False)
except OSError as e:
    print(type(e).__name__)
"""
    told = subprocess.check_output([sys.executable, "-c", program, str(root)], text=True)
    assert told.strip() == "OSError"
    assert (root / "plan.txt").read_text() == "buy a kettle\n"
    assert sorted(path.name for path in root.iterdir()) == ["notes", "plan.txt"]


def test_searching_is_bounded(root: Path) -> None:
    (root / "many.txt").write_text("tea\n" * 1000)
    hits = search.search(root, "tea", "").splitlines()
    assert len(hits) == search.MAX_HITS + 1
    assert "stopped early" in hits[-1]
    (root / "wide.txt").write_text("a" * 5000 + " needle " + "b" * 5000)
    (line,) = search.search(root, "needle", "").splitlines()
    assert "needle" in line
    assert len(line) < 200
    deep = root
    for _ in range(search.MAX_DEPTH + 3):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "lost.txt").write_text("treasure")
    assert "stopped early" in search.search(root, "treasure", "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "", "outside", "work", "notes", "secret.txt", "link"])))
def test_no_combination_of_steps_reaches_the_secret(root: Path, steps: list[str]) -> None:
    if not (root / "link").is_symlink():
        (root / "link").symlink_to("..")
    for path in ("/".join(steps), "/" + "/".join(steps), f"{root}/" + "/".join(steps)):
        try:
            assert SECRET not in workspace.read(root, path, 0)
        except ValueError as e:
            assert SECRET not in str(e)


def test_no_descriptor_is_left_open(root: Path) -> None:
    async def work(tools: Box) -> None:
        for path in ("plan.txt", "notes/tea.md", "none", "../x", "a/b/c", "plan.txt/x"):
            await tools.run("read_file", path=path)
            await tools.run("write_file", path=path, text="x")
            await tools.run("list_files", path=path)
            await tools.run("search_files", query="tea", path=path)

    async def inside() -> None:
        async with box(plugin, root.parent, workspace=root) as tools:
            await work(tools)
            before = descriptors()
            await work(tools)
            assert descriptors() == before

    asyncio.run(inside())
