# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is lent, where it appears, and that nothing else does."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from haoya.core.errors import ConfigError
from haoya.core.sandbox import Level, Mount, Program
from haoya.sandbox.room import open_sandbox
from tests.sandbox.conftest import Open
from tests.sandbox.running import sh


def lend(path: Path, at: str = "", *, writable: bool = False) -> Mount:
    return Mount(path=str(path), at=at or str(path), writable=writable)


def test_a_lent_folder_can_be_read_and_only_then_written(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o600)

    async def go() -> None:
        async with opened() as sandbox:
            script = "cat old; echo new > new && mkdir -p a/b && mv new a/b/moved && rm old"
            reading = await sh(sandbox, script, mounts=(lend(tmp_path, "/work"),), folder="/work")
            assert reading.text == "old" and reading.ended.status
            assert os.listdir(tmp_path) == ["old"]  # noqa: PTH208
            mounts = (lend(tmp_path, "/work", writable=True),)
            writing = await sh(sandbox, script, mounts=mounts, folder="/work")
            assert (writing.text, writing.ended.status) == ("old", 0), writing.err

    asyncio.run(go())
    assert (tmp_path / "a" / "b" / "moved").read_text() == "new\n"
    assert {path.owner() for path in tmp_path.rglob("*")} == {tmp_path.owner()}
    assert not (tmp_path / "old").exists()


def test_a_file_can_be_lent_alone(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")

    async def go() -> None:
        async with opened() as sandbox:
            script = f"cat {tmp_path}/one; cat {tmp_path}/two"
            done = await sh(sandbox, script, mounts=(lend(tmp_path / "one"),))
            assert done.text == "1" and done.ended.status

    asyncio.run(go())


def test_one_folder_can_be_lent_within_another(opened: Open, tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)

    async def go() -> None:
        async with opened() as sandbox:
            mounts = (lend(inner, writable=True), lend(outer))
            done = await sh(sandbox, f"echo x > {inner}/x && echo y > {outer}/y", mounts=mounts)
            assert done.ended.status
            assert (inner / "x").exists() and not (outer / "y").exists()

    asyncio.run(go())


def test_nothing_appears_where_it_must_not(opened: Open, tmp_path: Path) -> None:
    bad = ("/", "relative", "/a/../b", "/proc/x", "/dev", "/sys/kernel", "")

    async def go() -> None:
        async with opened() as sandbox:
            for at in bad:
                mount = Mount(path=str(tmp_path), at=at)
                with pytest.raises(ConfigError):
                    async with sandbox.start(Program(argv=("true",), mounts=(mount,))):
                        pass

    asyncio.run(go())


def test_only_folders_and_files_that_exist_are_lent(opened: Open, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(tmp_path / "socket"))

    async def go() -> None:
        async with opened() as sandbox:
            for path in (
                str(tmp_path / "missing"),
                str(tmp_path / "pipe"),
                str(tmp_path / "socket"),
                "/dev/null",
                "relative",
            ):
                mount = Mount(path=path, at="/x")
                with pytest.raises(ConfigError):
                    async with sandbox.start(Program(argv=("true",), mounts=(mount,))):
                        pass

    asyncio.run(go())


def test_a_link_inside_of_a_lent_folder_does_not_lead_the_mounts_astray(
    opened: Open, level: Level, tmp_path: Path
) -> None:
    """A program left `work/inner -> /etc`; the next one is to be lent something at that place."""
    if level != "namespaces":
        return  # nothing is shown elsewhere there
    work, other = tmp_path / "work", tmp_path / "other"
    work.mkdir()
    other.mkdir()
    (work / "inner").symlink_to("/usr")
    (work / "deep").symlink_to("/tmp")

    async def go() -> None:
        async with opened() as sandbox:
            for place in ("/work/inner", "/work/deep/new"):
                mounts = (lend(work, "/work", writable=True), lend(other, place))
                with pytest.raises(ConfigError):
                    async with sandbox.start(Program(argv=("true",), mounts=mounts)):
                        pass

    asyncio.run(go())
    assert sorted(path.name for path in work.iterdir()) == ["deep", "inner"]


def test_places_are_not_made_in_folders_of_the_owners(
    opened: Open, level: Level, tmp_path: Path
) -> None:
    if level != "namespaces":
        return
    work, other = tmp_path / "work", tmp_path / "other"
    work.mkdir()
    other.mkdir()

    async def go() -> None:
        async with opened() as sandbox:
            mounts = (lend(work, "/work", writable=True), lend(other, "/work/new"))
            with pytest.raises(ConfigError):
                async with sandbox.start(Program(argv=("true",), mounts=mounts)):
                    pass

    asyncio.run(go())
    assert list(work.iterdir()) == []


def test_the_program_sees_the_system_and_nothing_of_the_owners(
    opened: Open, level: Level, tmp_path: Path
) -> None:
    if level != "namespaces":
        return  # names can be seen there; reading them is tried in test_escapes

    async def go() -> None:
        async with opened() as sandbox:
            done = await sh(sandbox, "ls -A /; echo --; ls -A /tmp /home /root /var /run /srv")
            seen, _, rest = done.text.partition("--\n")
            allowed = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "proc"}
            assert set(seen.split()) <= allowed | {"sbin", "tmp", "usr"}
            assert rest == "/tmp:\n"

    asyncio.run(go())


def test_tmp_is_empty_each_time(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            for _ in range(2):
                done = await sh(sandbox, "ls -A; echo x > x; ls")
                assert (done.text, done.ended.status) == ("x\n", 0)

    asyncio.run(go())


def test_what_is_private_is_lent_to_nobody(tmp_path: Path, level: Level) -> None:
    home = tmp_path / "home"
    (home / "workspace").mkdir(parents=True)
    (home / "keys").mkdir()
    (home / "keys" / "one").write_text("secret")
    (tmp_path / "link").symlink_to(home / "keys")

    async def go() -> None:
        async with open_sandbox((level,), private=(home / "keys",)) as sandbox:
            for path in (home, tmp_path, home / "keys", home / "keys" / "one", tmp_path / "link"):
                mount = (lend(path, "/work"),)
                with pytest.raises(ConfigError):
                    async with sandbox.start(Program(argv=("true",), mounts=mount)):
                        pass
            done = await sh(sandbox, "true", mounts=(lend(home / "workspace", "/work"),))
            assert done.ended.status == 0

    asyncio.run(go())
