# SPDX-License-Identifier: AGPL-3.0-or-later
import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import tiny

ENGINE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel, params.verbosity = 2048, 1, -1
server = xllamacpp.Server(params)
print(server.listening_address, file=sys.stderr, flush=True)
sys.stdin.read()
"""

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}


def test_the_same_bytes_are_made_every_time(tmp_path: Path) -> None:
    here = tiny.make_model(tmp_path / "a.gguf")
    program = "import sys, pathlib; from tests.servers import tiny; "
    program += "tiny.make_model(pathlib.Path(sys.argv[1]))"
    there = tmp_path / "b" / "a.gguf"
    subprocess.run([sys.executable, "-c", program, there], check=True)
    assert hashlib.sha256(here.read_bytes()).digest() == hashlib.sha256(there.read_bytes()).digest()


def test_the_encoding_gives_back_what_was_written(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer.from_file(str(tiny.make_folder(tmp_path) / "tokenizer.json"))
    text = '<|im_start|>user\n你好，天气 isn\'t {"days": 12}\n\n😀<|im_end|>'
    ids = made.encode(text).ids
    assert made.decode(ids, skip_special_tokens=False) == text
    assert ids[0] == tiny.tokens().index("<|im_start|>")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("xllamacpp")
    path = tiny.make_model(tmp_path_factory.mktemp("tiny") / "t.gguf", tiny.Shape(calls=True))
    process = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(path)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    assert process.stderr and process.stdin
    line = ""
    while not line.startswith("http"):
        line = process.stderr.readline()
        assert line, "the engine ended"
    yield line.strip()
    process.stdin.close()
    process.wait(timeout=20)


def ask(engine: str, **body: Any) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{engine}/v1/chat/completions",
        json.dumps({"temperature": 0, "max_tokens": 300, **body}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["choices"][0]


def test_an_answer_is_printable_and_ends_by_itself(engine: str) -> None:
    for text in ("你好", "What time is it?", "tell me a story"):
        choice = ask(engine, messages=[{"role": "user", "content": text}])
        assert choice["message"]["content"].isprintable()
        assert choice["finish_reason"] == "stop"


def test_a_call_is_made_in_the_format_of_the_template(engine: str) -> None:
    function = {"name": "weather", "description": "the forecast", "parameters": WEATHER}
    choice = ask(
        engine,
        messages=[{"role": "user", "content": "明天天气怎么样？"}],
        tools=[{"type": "function", "function": function}],
        tool_choice="required",
    )
    call = choice["message"]["tool_calls"][0]["function"]
    assert call["name"] == "weather"
    assert set(json.loads(call["arguments"])) == {"city", "days"}


def test_the_answer_depends_on_what_was_said_long_ago(engine: str) -> None:
    middle = "word " * 300
    answers = {
        ask(engine, messages=[{"role": "user", "content": f"{first} {middle}"}], max_tokens=12)[
            "message"
        ]["content"]
        for first in ("one", "two", "three")
    }
    assert len(answers) == 3
