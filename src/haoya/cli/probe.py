# SPDX-License-Identifier: AGPL-3.0-or-later
"""Looking for a model server: what `/v1/models` says on the ports such servers usually have."""

import http.client
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

PORTS = {11434: "Ollama", 8080: "llama.cpp", 8081: "llama.cpp", 1234: "LM Studio", 8000: "vLLM"}
"""The ports that servers of the Chat Completions API listen on by default."""
NEAR_SECONDS = 1.0
FAR_SECONDS = 10.0
ANSWER_BYTES = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Server:
    """A model server that answered; `maker` is a guess from its port."""

    url: str
    maker: str
    models: tuple[str, ...]


def near() -> list[Server]:
    """The model servers that run on this machine."""

    def look(port: int) -> Server | None:
        url = f"http://127.0.0.1:{port}/v1"
        models = models_of(url, seconds=NEAR_SECONDS)
        return None if models is None else Server(url=url, maker=PORTS[port], models=models)

    with ThreadPoolExecutor(len(PORTS)) as pool:
        return [server for server in pool.map(look, PORTS) if server]


def models_of(url: str, key: str = "", seconds: float = FAR_SECONDS) -> tuple[str, ...] | None:
    """The names of a server's models; None where it does not answer as such a server does."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return None
    if parts.scheme == "https":
        context = ssl.create_default_context()
        line = http.client.HTTPSConnection(
            parts.hostname or "", port, timeout=seconds, context=context
        )
    elif parts.scheme == "http":
        line = http.client.HTTPConnection(parts.hostname or "", port, timeout=seconds)
    else:
        return None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        line.request("GET", f"{parts.path.rstrip('/')}/models", headers=headers)
        answer = line.getresponse()
        if answer.status != 200:
            return None
        return _names(json.loads(answer.read(ANSWER_BYTES)))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        line.close()


def complete(url: str) -> str:
    """The base address a person meant: with a scheme, and with `/v1` where they left the path.

    >>> complete("127.0.0.1:8080"), complete("https://api.example.org/v1/")
    ('http://127.0.0.1:8080/v1', 'https://api.example.org/v1')
    """
    url = url.strip().rstrip("/")
    if "://" not in url:
        url = f"http://{url}"
    return url if urlsplit(url).path else f"{url}/v1"


def _names(answer: object) -> tuple[str, ...]:
    """The ids in `{"data": [{"id": …}]}`, text models before those that only embed."""
    data: object = cast("dict[str, object]", answer).get("data") if isinstance(answer, dict) else ()
    names: list[str] = []
    for model in cast("list[object]", data) if isinstance(data, list) else []:
        name = cast("dict[str, object]", model).get("id") if isinstance(model, dict) else None
        if isinstance(name, str):
            names.append(name)
    return tuple(sorted(names, key=lambda name: "embed" in name.lower()))
