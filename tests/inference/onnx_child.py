# SPDX-License-Identifier: AGPL-3.0-or-later
"""The ONNX engine as a real child process on a socket in a short folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

for needed in ("onnxruntime_genai", "llguidance", "onnx"):
    pytest.importorskip(needed, reason=f"{needed} is not installed: pip install 'haoya[onnx]' onnx")

SECONDS = 60
"""Deadline of everything that is waited for."""


class Onnx:
    """A running engine and a client for it."""

    def __init__(self, process: subprocess.Popen[bytes], path: str) -> None:
        self.process, self.path = process, path
        transport = httpx2.HTTPTransport(uds=path)
        self.http = httpx2.Client(transport=transport, base_url="http://engine", timeout=SECONDS)

    def wait(self) -> None:
        """Until it is healthy."""
        for _ in deadline():
            assert self.process.poll() is None, f"the engine ended with {self.process.poll()}"
            try:
                if self.http.get("/health").status_code == 200:
                    return
            except httpx2.TransportError:
                pass

    def post(self, body: bytes | dict[str, Any], at: str = "/v1/chat/completions") -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(at, content=data)

    def chat(self, text: str, **more: Any) -> Any:
        """The answer's JSON to one message."""
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 8, **more}
        answer = self.post(body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def say(self, text: str, **more: Any) -> str:
        return self.chat(text, **more)["choices"][0]["message"]["content"]

    def stream(self, text: str, **more: Any) -> Generator[Any]:
        """The JSON of an answer's events, `[DONE]` left out."""
        body = {"messages": [{"role": "user", "content": text}], "stream": True, **more}
        with self.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])

    def tokens(self, text: str) -> list[int]:
        return self.post({"content": text}, "/tokenize").json()["tokens"]

    def raw(self, data: bytes) -> bytes:
        """What comes back for these bytes."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(SECONDS)
            line.connect(self.path)
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionResetError):  # where not all of the request was read
                while piece := line.recv(65536):
                    answer += piece
            return answer


def deadline() -> Generator[None]:
    """Tries until `SECONDS` are over, with a breath between them."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        yield
        time.sleep(0.02)
    raise AssertionError(f"not within {SECONDS} seconds")


def spawn(
    model: Path, path: str, *more: str, home: Path | None = None, stdin: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start the program; its ends are pipes."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "haoya.inference.onnx.child", "--model", str(model)),
            *("--socket", path, "--threads", "1", *more),
        ],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOME": str(home)} if home else None,
    )


@contextmanager
def onnx(model: Path, *more: str, home: Path | None = None) -> Generator[Onnx]:
    """An engine that is ready, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="onnx") as folder:
        process = spawn(model, f"{folder}/s", *more, home=home)
        engine = Onnx(process, f"{folder}/s")
        try:
            engine.wait()
            yield engine
        finally:
            engine.http.close()
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe
                pipe.close()
