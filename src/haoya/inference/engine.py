# SPDX-License-Identifier: AGPL-3.0-or-later
"""Engines: the programs that can run a model file, all spoken to in one way.

An engine is a child process that listens on a Unix socket and speaks the HTTP dialect of
llama.cpp's server (its README, "API Endpoints"). It is told what to do by a `Launch`. There are
several ways to have one:

    native   built on this machine by `haoya models engine build`; the fastest
    wheel    the package `xllamacpp`, which `./start` installs; works at once
    server   a `llama-server` found on the PATH
    onnx     the package `onnxruntime-genai`, for a folder with a genai_config.json
"""

import os
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from haoya.core.errors import ConfigError
from haoya.inference.entry import ONNX

EngineName = Literal["native", "wheel", "server", "onnx"]
CacheType = Literal["f16", "q8_0", "q4_0"]

ONNX_PACKAGES = ("onnxruntime-genai", "onnxruntime-genai-cuda", "onnxruntime-genai-directml")
"""One package for processors, one for each kind of GPU; one of them is installed at a time."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is started with. Sizes in tokens; `sessions` answers at a time, each with a
    slot of `context_tokens`. Paths that are empty are not used."""

    model: str
    socket: str
    slots: str = ""
    """Folder for saved slots; empty: none are saved."""
    projector: str = ""
    draft: str = ""
    adapters: tuple[str, ...] = ()
    context_tokens: int = 8192
    sessions: int = 4
    threads: int = 0
    batch: int = 512
    """Tokens of a prompt looked at in one step; an answer to another waits that long at most."""
    cache_type: CacheType = "f16"
    repack: bool = True
    """Weights copied into an order that suits the processor: faster for prompts, twice the
    memory."""
    flash_attention: Literal["auto", "on", "off"] = "auto"
    gpu_layers: int = -1
    """Layers on the GPU; -1 lets the engine see what fits."""
    embedding: bool = False

    @property
    def cores(self) -> int:
        """Threads to compute with: as set, else the processor's cores as far as we may use them."""
        return self.threads or usable_cores()


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run models. `version` changes when saved slots can no longer be read."""

    name: EngineName
    version: str
    command: Callable[[Launch], list[str]]
    keeps_slots: bool = True


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """`engines/*/engine.json`: an engine of this machine; `server` is relative to its folder, or
    absolute. The one that is `chosen` comes before all others."""

    name: Literal["native", "server"] = "native"
    version: str
    server: str = "bin/llama-server"
    chosen: bool = False


def usable_cores() -> int:
    """Physical cores this process may use, at least one.

    Two threads of one core share its vector units, so a second one costs more than it gives
    (llama.cpp counts the same way, `common/common.cpp`).
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not on macOS and Windows
        return max(1, (os.cpu_count() or 2) // 2)
    siblings: set[str] = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(topology.read_text())
        except OSError:
            siblings.add(str(cpu))
    return max(1, len(siblings))


def engines(models: Path) -> list[Engine]:
    """The engines on this machine for GGUF files, best first. `models` is the models' folder."""
    found = [_native(models), _wheel(), _server()]
    return [engine for engine in found if engine is not None]


def choose(models: Path, wanted: EngineName | Literal["auto"], model: Path) -> Engine:
    """The engine for a model file; `ConfigError` where there is none."""
    if (model / ONNX).is_file():
        return _onnx()
    if not (there := engines(models)):
        raise ConfigError(
            "there is no engine on this machine to run a model with",
            cure="run ./start again (it installs xllamacpp), or put llama-server on the PATH",
        )
    if wanted == "auto":
        return there[0]
    for engine in there:
        if engine.name == wanted:
            return engine
    names = ", ".join(engine.name for engine in there)
    cure = "run `haoya models engine build`" if wanted == "native" else "choose one of them"
    raise ConfigError(f"there is no engine {wanted!r} here; there are: {names}", cure=cure)


def _native(models: Path) -> Engine | None:
    for record in sorted(models.glob("engines/*/engine.json"), reverse=True):
        try:
            built = msgspec.json.decode(record.read_bytes(), type=Built)
        except (OSError, msgspec.DecodeError):
            continue
        server = record.parent / built.server
        if built.chosen and os.access(server, os.X_OK):
            return _llama_server(built.name, built.version, server)
    return None


def _wheel() -> Engine | None:
    if (version := _installed("xllamacpp")) is None:
        return None
    python = [sys.executable, "-m", "haoya.inference.wheel"]
    return Engine(
        name="wheel",
        version=version,
        command=lambda launch: [*python, msgspec.json.encode(launch).decode()],
    )


def _server() -> Engine | None:
    if (found := shutil.which("llama-server")) is None:
        return None
    server = Path(found).resolve()
    return _llama_server("server", str(server.stat().st_mtime_ns), server)


def _llama_server(name: EngineName, version: str, server: Path) -> Engine:
    return Engine(
        name=name, version=version, command=lambda launch: [str(server), *arguments(launch)]
    )


def _onnx() -> Engine:
    version = next((found for name in ONNX_PACKAGES if (found := _installed(name))), None)
    if version is None or _installed("llguidance") is None:
        raise ConfigError(
            "this model is for ONNX Runtime, which is not installed",
            cure="install it into haoya's environment: pip install 'haoya[onnx]'",
        )
    python = [sys.executable, "-m", "haoya.inference.onnx.child"]
    return Engine(
        name="onnx",
        version=version,
        command=lambda launch: [
            *python,
            *("--model", launch.model, "--socket", launch.socket),
            *("--sessions", str(launch.sessions), "--context", str(launch.context_tokens)),
            *("--threads", str(launch.cores), "--batch", str(launch.batch)),
        ],
        keeps_slots=False,
    )


def _installed(package: str) -> str | None:
    """The version of a package, which is not imported: engines are for child processes."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def arguments(launch: Launch) -> list[str]:
    """The command line of `llama-server` (its README, "Usage")."""
    cores = str(launch.cores)
    line = ["--model", launch.model, "--host", launch.socket, "--no-ui", "--jinja"]
    line += ["--parallel", str(launch.sessions), "--no-kv-unified"]
    line += ["--ctx-size", str(launch.context_tokens * launch.sessions)]
    line += ["--threads", cores, "--threads-batch", cores]
    line += ["--batch-size", str(max(launch.batch, 32)), "--ubatch-size", str(launch.batch)]
    line += ["--cache-ram", "0", "--no-context-shift", "--slot-prompt-similarity", "0"]
    line += ["--cache-type-k", launch.cache_type, "--cache-type-v", launch.cache_type]
    line += ["--flash-attn", launch.flash_attention, "--no-warmup"]
    line += [] if launch.repack else ["--no-repack"]
    line += ["--slot-save-path", launch.slots] if launch.slots else []
    line += ["--mmproj", launch.projector] if launch.projector else []
    if launch.draft:
        line += ["--spec-draft-model", launch.draft, "--spec-type", "draft-simple"]
    line += [word for path in launch.adapters for word in ("--lora", path)]
    line += ["--embeddings", "--pooling", "mean"] if launch.embedding else []
    if launch.gpu_layers >= 0:
        line += ["--n-gpu-layers", str(launch.gpu_layers)]
    return line
