# SPDX-License-Identifier: AGPL-3.0-or-later
"""Model files: read as their own package reads them, and harmless whatever they hold."""

import struct
from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.core.errors import ConfigError
from haoya.inference.gguf import Gguf, describe, parts_of, read, read_header
from haoya.inference.header import Header, Items, parse
from haoya.inference.writer import Made, number_pair, text_pair, write
from tests.inference.make import make_gguf


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("gguf") / "toy.gguf")


def test_a_file_is_described_as_it_was_written(toy: Path) -> None:
    found = read(toy)
    assert found.architecture == "qwen2"
    assert (found.name, found.purpose, found.quantisation) == ("toy", "chat", "F16")
    assert (found.layers, found.heads, found.kv_heads) == (2, 4, (2, 2))
    assert (found.key_length, found.value_length) == (64, 64)
    assert (found.context_tokens, found.embedding_length) == (4096, 256)
    assert (found.vocabulary, found.chat_template) == (300, "{{ messages }}")
    assert found.bytes == toy.stat().st_size


def test_tensors_lie_where_the_formats_own_package_says(toy: Path) -> None:
    header = read_header(toy)
    theirs = {one.name: one for one in GGUFReader(toy).tensors}
    assert {one.name for one in header.tensors} == set(theirs)
    for one in header.tensors:
        other = theirs[one.name]
        assert list(one.shape) == [int(size) for size in other.shape]
        assert (one.type, one.bytes) == (other.tensor_type.name, other.n_bytes)
        assert header.data + one.offset == other.data_offset


def test_long_arrays_are_counted_and_short_ones_kept(toy: Path) -> None:
    values = read_header(toy).values
    assert values["toy.numbers"] == Items(count=5000)
    assert values["toy.words"] == Items(count=3, kept=("a", "好", ""))
    assert (values["toy.flag"], values["toy.least"]) == (True, -5)


def test_a_beginning_says_how_much_more_is_needed(toy: Path) -> None:
    data = toy.read_bytes()
    have, steps = 1, 0
    while isinstance(found := parse(data[:have], len(data)), int):
        assert have < found <= len(data)
        have, steps = found, steps + 1
    assert found == parse(data, len(data))
    assert have < found.data + 1


def test_a_model_in_several_files_is_one(toy: Path, tmp_path: Path) -> None:
    whole = read_header(toy)
    names = [f"toy-0000{i}-of-00002.gguf" for i in (1, 2)]
    halves = [whole.tensors[:5], whole.tensors[5:]]
    data = toy.read_bytes()
    for number, (name, tensors) in enumerate(zip(names, halves, strict=True)):
        pairs = [number_pair("split.count", 2), number_pair("split.no", number)]
        if not number:
            pairs += [data[start:end] for start, end in whole.spans.values()]
        made = [
            Made(
                name=one.name,
                shape=one.shape,
                type=one.type,
                pieces=lambda at=whole.data + one.offset, size=one.bytes: iter(
                    [data[at : at + size]]
                ),
            )
            for one in tensors
        ]
        write(tmp_path / name, pairs, made)
    for name in names:
        found = read(tmp_path / name)
        assert found.parts == 2
        assert found.parameters == read(toy).parameters
    (tmp_path / names[1]).unlink()
    with pytest.raises(ConfigError, match=r"toy-00002-of-00002\.gguf"):
        read(tmp_path / names[0])
    lonely = tmp_path / "lonely.gguf"
    (tmp_path / names[0]).rename(lonely)
    with pytest.raises(ConfigError, match="others are missing"):
        read(lonely)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"GG", "ends within"),
        (b"PK\x03\x04" + bytes(60), "does not begin with GGUF"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version is 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "tensors do not fit"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 63), "keys do not fit"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 62) + bytes(40), "bytes"),
    ],
)
def test_no_model_is_refused_with_a_reason(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(data)
    with pytest.raises(ConfigError, match=words) as caught:
        read(tmp_path / "bad.gguf")
    assert caught.value.cure


def test_a_file_cut_short_is_noticed_without_reading_it_through(toy: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(toy.read_bytes()[:-1000])
    with pytest.raises(ConfigError, match="ends at byte") as caught:
        read(short)
    assert "again" in caught.value.cure


def test_huge_claims_take_no_memory() -> None:
    pair = struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 0, 1 << 50)
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair
    with pytest.raises(ConfigError):
        parse(data, 1 << 60)


def _whole(data: bytes) -> Gguf | None:
    """What a reader makes of any bytes: a model, or a reasoned refusal."""
    try:
        header = parse(data, len(data))
        assert isinstance(header, Header)
        return describe(header)
    except ConfigError as error:
        assert str(error)
        return None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_spoilt_file_never_breaks_the_reader(toy: Path, data: st.DataObject) -> None:
    raw = bytearray(toy.read_bytes())
    end = read_header(toy).data
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, end - 9))
        patch = data.draw(st.binary(min_size=1, max_size=8))
        raw[at : at + len(patch)] = patch
    cut = data.draw(st.sampled_from([len(raw), end, end // 2, 30]))
    _whole(bytes(raw[:cut]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3), st.integers(0, 3))
def test_any_bytes_after_a_sound_beginning_are_no_harm(
    rest: bytes, tensors: int, keys: int
) -> None:
    _whole(b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + rest)


@given(
    st.text(max_size=20),
    st.one_of(st.booleans(), st.integers(0, 2**32 - 1), st.floats(width=32, allow_nan=False)),
)
def test_what_is_written_is_read_again(text: str, number: float) -> None:
    pairs = [text_pair("general.architecture", "x"), text_pair("a", text), number_pair("b", number)]
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)
    header = parse(data, len(data))
    assert isinstance(header, Header)
    assert header.values["b"] == number
    assert header.values["a"] == text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def test_the_parts_of_a_name_that_counts_wrongly_are_refused() -> None:
    with pytest.raises(ConfigError):
        parts_of(Path("a-00003-of-00002.gguf"))
    with pytest.raises(ConfigError):
        parts_of(Path("a-00001-of-99999.gguf"))
