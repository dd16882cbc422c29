# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya models` from the outside: fetched from registries that fail in every way, kept, used."""

import hashlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from haoya.inference.gguf import read_header
from haoya.inference.quantize import quantize
from haoya.inference.writer import Made, number_pair, write
from tests.cli.conftest import HAOYA, SECONDS, Haoya
from tests.inference.make import make_gguf
from tests.journal.disk import small_disk
from tests.servers import running

FILE = "Toy-Q4_K_M.gguf"
HF, MS, OLLAMA = f"hf:ann/toy-GGUF:{FILE}", "ms:ann/toy-GGUF:q4_k_m", "ollama:ann/toy:q4"


@dataclass
class Hub:
    """The stand-in, its files, and what it was asked."""

    port: int
    folder: Path

    def control(self, **changes: object) -> None:
        body = json.dumps(changes).encode()
        with urlopen(Request(f"http://127.0.0.1:{self.port}/control", body)) as answer:
            answer.read()

    def asked(self) -> list[dict[str, Any]]:
        return self._told()["requests"]

    def allowed(self) -> str:
        """The settings that let the delivery network be asked: it is not public."""
        return f'[egress]\nallow = ["127.0.0.1:{self._told()["cdn"]}"]\n'

    def _told(self) -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{self.port}/control") as answer:
            return json.loads(answer.read())

    def fetched(self) -> list[str]:
        """The ranges that were asked of the delivery network."""
        return [one["range"] for one in self.asked() if one["port"] != self.port]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the registries hold."""
    folder = tmp_path_factory.mktemp("hub")
    repo = folder / "ann" / "toy-GGUF"
    repo.mkdir(parents=True)
    make_gguf(repo / "Toy-F16.gguf", feed=1024, layers=4)
    quantize(repo / "Toy-F16.gguf", "Q4_K_M", repo / FILE)
    quantize(repo / "Toy-F16.gguf", "Q8_0", repo / "Toy-Q8_0.gguf")
    (repo / "README.md").write_text("# toy")
    ollama = folder / "ann" / "toy"
    ollama.mkdir()
    (ollama / "q4.gguf").hardlink_to(repo / FILE)
    make_gguf(ollama / "mmproj-q4.gguf", layers=1, seed=9)
    halves(repo / "Toy-Q8_0.gguf", folder / "ann" / "split", "Toy-Q8_0")
    (folder / "ann" / "raw").mkdir()
    (folder / "ann" / "raw" / "model.safetensors").write_bytes(b"x")
    return folder


def halves(file: Path, folder: Path, stem: str) -> None:
    """A model in two files."""
    folder.mkdir(parents=True)
    whole, data = read_header(file), file.read_bytes()
    for number, tensors in enumerate([whole.tensors[::2], whole.tensors[1::2]]):
        pairs = [number_pair("split.count", 2), number_pair("split.no", number)]
        pairs += [] if number else [data[start:end] for start, end in whole.spans.values()]
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
        write(folder / f"{stem}-{number + 1:05}-of-00002.gguf", pairs, made)


@pytest.fixture
def hub(shelf: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "MODELSCOPE_API_TOKEN", "OLLAMA_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running("hub", "--folder", str(shelf)) as port:
        for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "OLLAMA_REGISTRY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        found = Hub(port, shelf)
        (home / "settings.toml").write_text(found.allowed())
        yield found


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("reference", [HF, MS, OLLAMA, "hf:ann/toy-GGUF"])
def test_a_model_comes_whole_from_each_registry(haoya: Haoya, hub: Hub, reference: str) -> None:
    outcome = haoya("models", "pull", reference, "--json")
    assert outcome.status == 0, outcome.err
    model = outcome.json()
    assert model["sha256"] == digest(hub.folder / "ann" / "toy-GGUF" / FILE)
    assert digest(Path(model["path"])) == model["sha256"]
    assert model["quantisation"] == "Q4_K_M"
    events = [json.loads(line) for line in outcome.err.splitlines()]
    assert [one["event"] for one in events][:2] == ["plan", "fit"]
    assert events[-1]["event"] == "checked"
    assert bool(model["sidecars"]) == (reference == OLLAMA)
    again = haoya("models", "pull", reference, "--json")
    assert again.json() == model
    assert haoya("models", "info", model["name"], "--verify").status == 0


def test_a_model_in_several_files_is_put_together(haoya: Haoya, hub: Hub) -> None:
    assert haoya("models", "pull", "hf:ann/split").status == 0
    (model,) = haoya("models", "list", "--json").json()["models"]
    assert model["name"] == "toy-q8_0"
    folder = Path(model["path"]).parent
    assert [one.name for one in sorted(folder.iterdir())] == [
        "Toy-Q8_0-00001-of-00002.gguf",
        "Toy-Q8_0-00002-of-00002.gguf",
    ]
    info = haoya("models", "info", model["path"], "--json").json()
    assert info["parts"] == 2
    assert haoya("models", "info", "toy-q8_0", "--json").json()["parameters"] == info["parameters"]


def test_the_fit_is_known_before_and_after_and_only_the_beginning_is_fetched_for_it(
    haoya: Haoya, hub: Hub, home: Path
) -> None:
    before = haoya("models", "fit", HF, "--json").json()
    assert not (home / "models" / "blobs").exists()
    haoya("models", "pull", HF)
    after = haoya("models", "fit", "toy-q4_k_m", "--json").json()
    assert before["fit"] == after["fit"]
    tight = haoya("models", "fit", "toy-q4_k_m", "--sessions", "100000000", "--json")
    assert (tight.status, tight.json()["verdict"]) == (5, "too big")


def test_what_does_not_fit_is_not_fetched_unless_one_insists(haoya: Haoya, hub: Hub) -> None:
    asked = ("models", "pull", HF, "--sessions", "100000000")
    refused = haoya(*asked)
    assert refused.status == 1
    assert "--anyway" in refused.err
    assert haoya("models", "list", "--json").json()["models"] == []
    assert haoya(*asked, "--anyway").status == 0


@contextmanager
def pulling(hub: Hub, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*HAOYA, "models", "pull", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_some(home: Path, count: int) -> int:
    """Wait until so many bytes of a download are there."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        parts = list((home / "models" / "partial").glob("*/*.part"))
        if parts and (have := parts[0].stat().st_size) >= count:
            return have
        select.select([], [], [], 0.01)
    raise AssertionError("the download never came so far")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_download_that_was_killed_goes_on_where_it_was(
    haoya: Haoya, hub: Hub, home: Path, end: signal.Signals
) -> None:
    hub.control(rate=1_000_000)
    with pulling(hub, HF) as process:
        until_some(home, 100_000)
        process.send_signal(end)
        process.wait(SECONDS)
    (left,) = haoya("models", "list", "--json").json()["unfinished"]
    assert 0 < left["have"] < left["total"]
    assert "toy-q4_k_m" in haoya("models", "list").out
    hub.control()
    assert haoya("models", "pull", left["source"]).status == 0
    assert hub.fetched()[0].startswith(f"bytes={left['have']}-")
    listed = haoya("models", "list", "--json").json()
    assert (len(listed["models"]), listed["unfinished"]) == (1, [])


def test_two_at_once_do_not_spoil_one_another(haoya: Haoya, hub: Hub, home: Path) -> None:
    hub.control(rate=500_000)
    with pulling(hub, HF):
        until_some(home, 50_000)
        refused = haoya("models", "pull", HF)
        assert refused.status == 1
        assert "another process" in refused.err


def test_an_unfinished_download_can_be_dropped(haoya: Haoya, hub: Hub, home: Path) -> None:
    hub.control(rate=500_000)
    with pulling(hub, HF) as process:
        until_some(home, 50_000)
        process.kill()
        process.wait(SECONDS)
    assert haoya("models", "rm", "toy-q4_k_m").status == 0
    assert haoya("models", "list", "--json").json()["unfinished"] == []


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after": 30_000, "times": 8},
        {"status": 503, "times": 3},
        {"status": 429, "times": 2},
        {"ranges": False},
        {"flip": 900_000, "times": 1},
    ],
)
def test_passing_faults_are_overcome(haoya: Haoya, hub: Hub, fault: dict[str, Any]) -> None:
    hub.control(**fault)
    outcome = haoya("models", "pull", HF, "--json")
    assert outcome.status == 0, outcome.err
    assert digest(Path(outcome.json()["path"])) == digest(hub.folder / "ann" / "toy-GGUF" / FILE)


def test_a_wrong_file_is_never_kept(haoya: Haoya, hub: Hub, home: Path) -> None:
    hub.control(flip=900_000)
    outcome = haoya("models", "pull", HF)
    assert outcome.status == 1
    assert "SHA-256" in outcome.err
    assert haoya("models", "list", "--json").json()["models"] == []
    assert list((home / "models").glob("partial/*/*.part")) == []


def test_no_model_behind_the_name_is_noticed_at_its_first_bytes(haoya: Haoya, hub: Hub) -> None:
    hub.control(flip=0)
    outcome = haoya("models", "pull", HF)
    assert "does not begin with GGUF" in outcome.err
    assert len(hub.fetched()) == 1


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("hf:ann/nothing", "there is no ann/nothing"),
        ("ms:ann/nothing", "there is no ann/nothing"),
        ("ollama:nothing", "there is no nothing"),
        ("hf:ann/toy-GGUF:Q2_K", "Toy-Q8_0.gguf"),
        ("hf:ann/raw", "safetensors"),
        ("ann/toy-GGUF", "hf:OWNER/REPO"),
        ("hf:toy", "hf:OWNER/REPO"),
        ("hf:../../etc:x", "hf:OWNER/REPO"),
    ],
)
def test_what_is_not_there_says_what_is(haoya: Haoya, hub: Hub, reference: str, words: str) -> None:
    outcome = haoya("models", "pull", reference)
    assert outcome.status == 1
    assert words in outcome.err


def test_a_gated_model_says_how_to_get_in_and_the_token_goes_nowhere_else(
    haoya: Haoya, hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.control(token="right")
    outcome = haoya("models", "pull", HF)
    assert "haoya secrets set hf-token" in outcome.err
    assert "[downloads]" in outcome.err
    (home / "settings.toml").write_text(
        f'{hub.allowed()}[downloads]\nhuggingface_token = "secret:hf-token"\n'
    )
    (home / "secrets.toml").write_text('hf-token = "wrong"\n')
    outcome = haoya("models", "pull", HF)
    assert "(403)" in outcome.err
    assert "wrong" not in outcome.err
    (home / "secrets.toml").write_text('hf-token = "right"\n')
    hub.control(token="right")
    assert haoya("models", "pull", HF).status == 0
    seen = {(one["port"] == hub.port, one["token"]) for one in hub.asked()}
    assert seen == {(True, "Bearer right"), (False, "")}
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "right")
    hub.control(token="right")
    assert haoya("models", "pull", MS, "--name", "other").status == 0
    assert hub.asked()[0]["token"] == "m_session_id=right"


@pytest.mark.parametrize(
    "target", ["http://example.org/x", "ftp://127.0.0.1/x", "http://127.0.0.2:{port}/x"]
)
def test_a_redirect_out_of_encryption_is_not_followed(haoya: Haoya, hub: Hub, target: str) -> None:
    hub.control(redirect=target.replace("{port}", str(hub.port)))
    outcome = haoya("models", "pull", HF)
    assert outcome.status == 1
    assert "not encrypted" in outcome.err


def test_redirects_in_a_circle_end(haoya: Haoya, hub: Hub) -> None:
    hub.control(redirect=f"http://127.0.0.1:{hub.port}/ann/toy-GGUF/resolve/main/{FILE}")
    assert "from one address to the next" in haoya("models", "pull", HF).err


def test_a_disk_that_is_too_small_is_noticed_before(haoya: Haoya, hub: Hub, home: Path) -> None:
    with small_disk(home / "models", "1m"):
        outcome = haoya("models", "pull", HF)
        assert "bytes free" in outcome.err
        assert hub.fetched() == []


def test_a_disk_that_fills_up_keeps_what_is_there(haoya: Haoya, hub: Hub, home: Path) -> None:
    total = (hub.folder / "ann" / "toy-GGUF" / FILE).stat().st_size
    with small_disk(home / "models", "80m") as disk:
        hub.control(rate=1_000_000)
        with pulling(hub, HF) as process:
            until_some(home, 100_000)
            disk.fill()
            _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 1
        assert "is full" in said
        assert "again" in said
        (left,) = haoya("models", "list", "--json").json()["unfinished"]
        assert 0 < left["have"] < left["total"] == total
        disk.free()
        hub.control()
        assert haoya("models", "pull", HF).status == 0
        assert hub.fetched()[0].startswith(f"bytes={left['have']}-")


def test_a_registry_that_is_away_is_told_after_some_attempts(
    haoya: Haoya, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haoya.inference.web.FIRST_WAIT", 0.001)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    outcome = haoya("models", "pull", HF)
    assert outcome.status == 1
    assert "cannot be reached" in outcome.err


def test_progress_is_a_bar_for_a_person_and_the_words_are_theirs(
    hub: Hub, screen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAOYA_LANG", "zh")
    hub.control(rate=1_000_000)
    person = screen("models", "pull", HF)
    person.reads("装得下")
    person.reads("█")
    person.reads("还需")
    person.reads("已核对")
    person.reads("haoya models use toy-q4_k_m")
    assert person.leave() == 0


def test_a_model_is_made_smaller_and_the_first_one_stays(
    haoya: Haoya, home: Path, tmp_path: Path
) -> None:
    big = make_gguf(tmp_path / "Big-F16.gguf", layers=8, feed=1024, words=600)
    haoya("models", "add", str(big))
    outcome = haoya("models", "quantize", "big-f16", "--json")
    assert outcome.status == 0, outcome.err
    made = outcome.json()
    assert made["name"] == "big-q4_k_m"
    assert made["quantisation"] == "Q4_K_M"
    assert made["made"]["saved"] >= 0.6
    said = haoya("models", "quantize", "big-f16", "--type", "Q8_0").out
    assert "less" in said
    assert [one["name"] for one in haoya("models", "list", "--json").json()["models"]] == [
        "big-f16",
        "big-q4_k_m",
        "big-q8_0",
    ]
    assert "quantised already" in haoya("models", "quantize", "big-q8_0").err
    assert "there are: Q8_0" in haoya("models", "quantize", "big-f16", "--type", "q9").err
    assert list((home / "models" / "made").iterdir()) == []


def test_a_model_in_use_is_not_removed_by_mistake(haoya: Haoya, home: Path, tmp_path: Path) -> None:
    haoya("models", "add", str(make_gguf(tmp_path / "Toy.gguf")))
    (home / "settings.toml").write_text(
        '# mine\n[agent]\nname = "小好"  # her name\n\n[models.main]  # far away\nuse = "openai"\n'
        'base_url = "http://127.0.0.1:9/v1"\nmodel = "x"\n'
    )
    outcome = haoya("models", "use", "Toy", "--json")
    assert outcome.json() == {
        "model": "toy", "section": "main", "moved": "openai", "running": False,
    }  # fmt: skip
    text = (home / "settings.toml").read_text()
    assert '# mine\n[agent]\nname = "小好"  # her name' in text
    assert "[models.openai]  # far away" in text
    assert text.endswith('[models.main]\nuse = "local"\nmodel = "toy"\n')
    assert haoya("models", "rm", "toy").status == 1
    assert haoya("models", "list", "--json").json()["models"][0]["used_by"] == ["models.main"]
    assert haoya("models", "rm", "toy", "--force").status == 0
    assert haoya("models", "use", "toy").status == 1


def test_sidecars_know_what_they_are_for(haoya: Haoya, tmp_path: Path) -> None:
    haoya("models", "add", str(make_gguf(tmp_path / "Toy.gguf")))
    draft = make_gguf(tmp_path / "small.gguf", layers=1, seed=2)
    model = haoya("models", "add", str(draft), "--to", "toy", "--json").json()
    assert model["sidecars"][0][0] == "draft"
    assert "draft" in haoya("models", "list").out


def test_every_command_speaks_both_languages(
    haoya: Haoya, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = make_gguf(tmp_path / "Toy.gguf")
    lines: dict[str, list[str]] = {}
    for language in ("en", "zh"):
        monkeypatch.setenv("HAOYA_LANG", language)
        said = [
            haoya("models", *arguments).out
            for arguments in (
                ("list",),
                ("add", str(toy)),
                ("list",),
                ("info", "toy", "--verify", "--tensors"),
                ("fit", "toy", "--context", "100"),
                ("use", "toy"),
                ("rm", "toy", "--force"),
            )
        ]
        assert all(said)
        lines[language] = said
    assert all(one != other for one, other in zip(lines["en"], lines["zh"], strict=True) if one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")
def test_nothing_is_fetched_unasked(haoya: Haoya, hub: Hub) -> None:
    for arguments in (("list",), ("info", "x"), ("fit", "x"), ("use", "x"), ("rm", "x")):
        haoya("models", *arguments)
    assert hub.asked() == []
