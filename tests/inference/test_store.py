# SPDX-License-Identifier: AGPL-3.0-or-later
"""The store: every file once, names that stay true, and nothing half there."""

import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from haoya.core.errors import ConfigError
from haoya.inference.fit import advise, estimate
from haoya.inference.gguf import read
from haoya.inference.machine import examine, linux_memory
from haoya.inference.store import Store
from tests.inference.make import make_gguf


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make_gguf(tmp_path / "Toy-F16.gguf")


def test_a_file_is_linked_in_and_found_by_name_and_path(store: Store, toy: Path) -> None:
    entry = store.add(toy)
    assert entry.name == "toy-f16"
    assert entry.sha256 == hashlib.sha256(toy.read_bytes()).hexdigest()
    assert entry.path.samefile(toy)
    assert store.find("Toy-F16") == entry
    outside = store.find(str(toy))
    assert (outside.path, outside.files) == (toy, ())
    assert store.list() == (entry,)


def test_an_unknown_name_tells_which_there_are(store: Store, toy: Path) -> None:
    with pytest.raises(ConfigError, match="none yet"):
        store.find("x")
    store.add(toy)
    for name in ("x", "../x", "/nowhere.gguf", ""):
        with pytest.raises(ConfigError) as caught:
            store.find(name)
        assert "toy-f16" in str(caught.value) or "no GGUF file" in str(caught.value)


def test_the_same_file_under_two_names_lies_there_once(store: Store, toy: Path) -> None:
    store.add(toy, name="one")
    store.add(toy, name="two")
    store.add(toy, name="two")
    assert len(list(store.blobs.iterdir())) == 1
    store.remove("one")
    assert store.find("two").path.exists()
    toy.unlink()
    assert store.remove("two") > 0
    assert list(store.blobs.iterdir()) == []


def test_a_taken_name_is_not_given_to_another_model(store: Store, toy: Path) -> None:
    store.add(toy, name="one")
    other = make_gguf(toy.with_name("other.gguf"), seed=1)
    with pytest.raises(ConfigError, match="already named"):
        store.add(other, name="one")
    store.collect()
    assert len(list(store.blobs.iterdir())) == 1


def test_what_is_no_model_is_not_taken_in(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"not a model")
    with pytest.raises(ConfigError):
        store.add(tmp_path / "x.gguf")
    assert not store.blobs.exists()


def test_a_changed_file_is_noticed(store: Store, toy: Path) -> None:
    entry = store.add(toy)
    assert store.verify(entry.name) == ()
    with entry.path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x99")
    assert "SHA-256" in store.verify(entry.name)[0]
    entry.path.unlink()
    assert "missing" in store.verify(entry.name)[0]


def test_a_sidecar_is_found_beside_its_model(store: Store, toy: Path) -> None:
    store.add(toy, name="one")
    draft = make_gguf(toy.with_name("draft.gguf"), layers=1, seed=3)
    entry = store.attach("one", draft, "draft")
    assert entry.beside("draft")[0].samefile(draft)
    better = make_gguf(toy.with_name("better.gguf"), layers=1, seed=4)
    assert len(store.attach("one", better, "draft").sidecars) == 1
    assert store.collect() >= 0
    assert store.find("one").beside("draft")[0].samefile(better)


def test_a_home_that_was_moved_still_knows_its_models(store: Store, toy: Path) -> None:
    store.add(toy, name="one")
    moved = store.folder.rename(store.folder.with_name("elsewhere"))
    entry = Store(moved).find("one")
    assert entry.path.is_relative_to(moved)
    assert entry.path.exists()


def _add_many(folder: Path, file: Path, first: int) -> None:
    store = Store(folder)
    for number in range(first, first + 20):
        store.add(file, name=f"m{number}")
        if number % 3 == 0:
            store.remove(f"m{number}")


def test_several_processes_share_a_store(store: Store, toy: Path) -> None:
    context = multiprocessing.get_context("spawn")
    children = [
        context.Process(target=_add_many, args=(store.folder, toy, first)) for first in (0, 100)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    names = {entry.name for entry in store.list()}
    assert names == {f"m{n}" for first in (0, 100) for n in range(first, first + 20) if n % 3}
    assert all(store.verify(name) == () for name in sorted(names)[:3])


def test_a_record_that_is_spoilt_loses_no_files(store: Store, toy: Path) -> None:
    store.add(toy, name="one")
    make_gguf(toy, seed=5)
    (store.names / "two.json").write_text("{broken")
    assert [entry.name for entry in store.list()] == ["one"]
    with pytest.raises(ConfigError):
        store.collect()
    assert store.find("one").path.exists()


def test_memory_grows_with_context_sessions_and_cache(toy: Path) -> None:
    gguf = read(toy)
    one = estimate(gguf, context_tokens=1000)
    assert one.weights == sum(tensor.bytes for tensor in gguf.tensors)
    assert one.cache == 1000 * 2 * 2 * (64 + 64) * 2  # layers, kv heads, a head, 16 bits
    assert estimate(gguf, context_tokens=2000).cache == 2 * one.cache
    assert estimate(gguf, context_tokens=1000, sessions=3).cache == 3 * one.cache
    eight = estimate(gguf, context_tokens=1000, cache_type="q8_0")
    assert eight.cache == one.cache * 34 // 64
    assert estimate(gguf, context_tokens=999_999).context_tokens == 4096
    assert estimate(gguf, context_tokens=1000, repack=True).total == one.total  # F16 is not
    with pytest.raises(ConfigError, match="cache type"):
        estimate(gguf, context_tokens=1, cache_type="q9")


def test_the_context_that_fits_really_fits(toy: Path) -> None:
    gguf = read(toy)
    room = estimate(gguf, context_tokens=3000, sessions=2).total
    most = estimate(gguf, context_tokens=10, sessions=2).context_within(room)
    assert most == 3000
    assert estimate(gguf, context_tokens=most, sessions=2).total <= room


def test_what_does_not_fit_says_what_helps(toy: Path) -> None:
    gguf = read(toy)
    fit = estimate(gguf, context_tokens=4096, sessions=40)
    memory = 1 << 40
    assert advise(gguf, fit, available=10 * fit.total, memory=memory).verdict == "fits"
    tight = advise(gguf, fit, available=fit.total + 1, memory=fit.total)
    assert (tight.verdict, tight.cure) == ("tight", "context")
    room = fit.total * 95 // 100
    poor = advise(gguf, fit, available=room, memory=fit.total)
    assert (poor.verdict, poor.cure) == ("too big", "context")
    assert estimate(gguf, context_tokens=poor.context_tokens, sessions=40).total <= room
    poor = advise(gguf, fit, available=fit.total * 3 // 4, memory=fit.total)
    assert (poor.verdict, poor.cure) == ("too big", "cache")
    none = advise(gguf, fit, available=1 << 20, memory=1 << 20)
    assert (none.verdict, none.cure) == ("too big", "model")


@pytest.mark.parametrize("version", [1, 2])
def test_the_least_control_group_counts(tmp_path: Path, version: int) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n")
    inner = groups / ("memory" if version == 1 else "") / "a" / "b"
    inner.mkdir(parents=True)
    line = "0::/a/b" if version == 2 else "5:cpu,memory:/a/b"
    (proc / "self" / "cgroup").write_text(f"{line}\n")
    assert linux_memory(proc, groups) == (8_192_000_000, 6_144_000_000, "")
    names = ("memory.max", "memory.current")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (inner / names[0]).write_text("max\n" if version == 2 else f"{1 << 62}\n")
    (inner.parent / names[0]).write_text("2000000000\n")
    (inner.parent / names[1]).write_text("1500000000\n")
    (inner.parent / "memory.stat").write_text("anon 1\ninactive_file 400000000\n")
    assert linux_memory(proc, groups) == (2_000_000_000, 900_000_000, "cgroup")


def test_this_machine_has_memory() -> None:
    machine = examine()
    assert 0 < machine.available <= machine.memory
