# SPDX-License-Identifier: AGPL-3.0-or-later
"""A local model with a projector sees pictures: the real engine over a tiny one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.core.message import Blob
from haoya.core.tool import Finish, Line, Prompt, Sampling, TextDelta
from haoya.models.local import LocalModel, LocalSettings, plugin
from haoya.models.local.pictures import MAX_PIXELS, readable, size
from tests.models.lent import FolderBlobs, context
from tests.runtime.waiting import run
from tests.servers.tiny import Shape, make_model
from tests.servers.tiny_vision import TOKENS, make_projector, picture

RED, BLUE = picture((220, 30, 30)), picture((30, 30, 220))
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffc0000b08001e002801011100")
GIF = b"GIF89a" + bytes.fromhex("28001e00")
BMP = b"BM" + bytes(16) + bytes.fromhex("28000000e2ffffff")
WEBP = b"RIFF\x24\0\0\0WEBPVP8 " + bytes(16)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_model(folder / "seer.gguf", Shape(ends=False))
    make_projector(folder / "mmproj-seer.gguf", Shape(ends=False))
    return folder


@asynccontextmanager
async def opened(home: Path, tiny: Path, **given: Any) -> AsyncGenerator[LocalModel]:
    usual: dict[str, Any] = {"engine": "wheel", "context_tokens": 2048, "sessions": 2}
    usual |= {"model": str(tiny / "seer.gguf"), "projector": str(tiny / "mmproj-seer.gguf")}
    settings = LocalSettings(**{**usual, **given})
    async with context(home, models=home) as lent, plugin.open(settings, lent) as local:
        yield local


async def shown(home: Path, *pictures: bytes) -> tuple[Blob, ...]:
    blobs = FolderBlobs(home)
    return tuple([await blobs.put(one, mime="image/png", name="p.png") for one in pictures])


async def asked(
    model: LocalModel, images: tuple[Blob, ...], conversation: str = ""
) -> tuple[str, Finish]:
    lines = (
        Line(role="system", text="You are a kind helper. " * 10),
        Line(role="user", text="what is this?", images=images),
    )
    sampling = Sampling(temperature=0, max_tokens=8)
    prompt = Prompt(lines=lines, sampling=sampling, conversation=conversation)
    deltas = [delta async for delta in model.stream(prompt)]
    finish = deltas[-1]
    assert isinstance(finish, Finish)
    return "".join(one.text for one in deltas if isinstance(one, TextDelta)), finish


def blind(finish: Finish) -> bool:
    return any("refused its pictures" in note for note in finish.notes)


def test_each_picture_costs_its_tokens_and_changes_the_answer(tmp_path: Path, tiny: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, tiny) as model:
            without, plain = await asked(model, ())
            red, one = await asked(model, await shown(tmp_path, RED))
            blue, _ = await asked(model, await shown(tmp_path, BLUE))
            _, two = await asked(model, await shown(tmp_path, RED, BLUE))
            assert one.usage.prompt == plain.usage.prompt + TOKENS
            assert two.usage.prompt == plain.usage.prompt + 2 * TOKENS
            assert len({without, red, blue}) == 3
            assert not blind(one)

    run(body)


def test_a_picture_is_looked_at_once_and_known_after_a_restart(tmp_path: Path, tiny: Path) -> None:
    async def body() -> None:
        images = await shown(tmp_path, RED)
        async with opened(tmp_path, tiny) as model:
            said, first = await asked(model, images, "a")
            assert first.usage.cached <= first.usage.prompt - TOKENS
            _, again = await asked(model, images, "a")
            assert again.usage.cached == first.usage.prompt - 1
        async with opened(tmp_path, tiny) as model:
            same, after = await asked(model, images, "a")
            assert after.usage.cached >= first.usage.prompt - 1
            assert "its cache was loaded from disk" in after.notes
            assert same == said
            _, other = await asked(model, await shown(tmp_path, BLUE), "a")
            assert other.usage.cached <= first.usage.prompt - TOKENS

    run(body)


@pytest.mark.parametrize("kind", ["webp", "junk", "gone", "huge"])
def test_a_picture_that_cannot_be_read_leaves_a_word(tmp_path: Path, tiny: Path, kind: str) -> None:
    async def body() -> None:
        huge = picture((1, 2, 3))
        huge = huge[:16] + (1 << 20).to_bytes(4, "big") * 2 + huge[24:]
        data = {"webp": WEBP, "junk": b"no picture", "huge": huge, "gone": RED}[kind]
        images = await shown(tmp_path, data)
        if kind == "gone":
            (tmp_path / images[0].sha256).unlink()
        async with opened(tmp_path, tiny) as model:
            _, plain = await asked(model, ())
            text, finish = await asked(model, images)
            assert text
            assert plain.usage.prompt < finish.usage.prompt < plain.usage.prompt + TOKENS
            assert not blind(finish)

    run(body)


def test_a_picture_that_breaks_off_does_not_end_the_conversation(
    tmp_path: Path, tiny: Path
) -> None:
    async def body() -> None:
        async with opened(tmp_path, tiny) as model:
            text, finish = await asked(model, await shown(tmp_path, RED[:50]))
            assert text
            assert blind(finish)

    run(body)


@pytest.mark.parametrize("data", [RED, JPEG, GIF, BMP], ids=["png", "jpeg", "gif", "bmp"])
def test_the_size_of_a_picture_is_known_without_unpacking(data: bytes) -> None:
    assert size(data) == (40, 30)


@given(st.sampled_from([b"", RED[:16], JPEG[:20], b"\xff\xd8", GIF[:6], BMP[:18]]), st.binary())
def test_any_bytes_have_some_size_or_none(start: bytes, rest: bytes) -> None:
    width, height = size(start + rest)
    assert isinstance(width * height, int)


def test_lines_without_pictures_are_left_alone(tmp_path: Path) -> None:
    async def body() -> None:
        lines = (Line(role="user", text="x"),)
        assert await readable(lines, FolderBlobs(tmp_path)) == lines
        images = await shown(tmp_path, RED)
        seen = (Line(role="user", text="x", images=images),)
        assert await readable(seen, FolderBlobs(tmp_path)) == seen
        assert MAX_PIXELS > 1200

    run(body)
