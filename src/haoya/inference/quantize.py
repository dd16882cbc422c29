# SPDX-License-Identifier: AGPL-3.0-or-later
"""Makes a model smaller with the engine's own quantisers, in a process of its own.

The engine's library (the wheel's one file) exports ggml's quantisers as plain C functions
(`ggml_quantize_chunk`, `ggml.h`); they are called a few rows at a time on all processors. Where
the wheel is not installed, `llama-quantize` is used: beside an engine that was built on this
machine, or on the PATH.

    python -m …quantize FILE TYPE NEW       one line of JSON for each step: [bytes done, bytes]
"""

import ctypes
import functools
import importlib.metadata
import json
import mmap
import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.inference import surroundings
from haoya.inference.child import run
from haoya.inference.ggml import NAMED
from haoya.inference.gguf import Gguf, describe, parts_of, read_header
from haoya.inference.header import Header, Tensor
from haoya.inference.recipes import RECIPES, types_for
from haoya.inference.writer import Made, number_pair, write

PIECE_VALUES = 1 << 20
"""How many values are quantised in one go: 4 MiB of floats for each thread."""
_FLOATS = {"F16": "ggml_fp16_to_fp32_row", "BF16": "ggml_bf16_to_fp32_row"}
_PLAIN = ("F32", "F16", "BF16")


class Smaller(Word, frozen=True, kw_only=True):
    """What quantising brought, in bytes; `way` names the program or library that did it."""

    path: Path
    before: int
    after: int
    quantisation: str
    seconds: float
    way: str

    @property
    def saved(self) -> float:
        """The share of the bytes that is gone."""
        return 1 - self.after / self.before


def quantize(
    file: Path,
    quantisation: str,
    new: Path,
    *,
    engines: Path | None = None,
    told: Callable[[int, int], None] = lambda have, total: None,
) -> Smaller:
    """Write the model in `file` to `new` with fewer bits.

    `engines` is the folder of engines built here. Raises `ConfigError` where the type is
    unknown, the model has been quantised before, or nothing on this machine can do it.
    """
    kind = quantisation.upper()
    if kind not in RECIPES:
        raise ConfigError(
            f"no quantisation is named {quantisation!r}; there are: {', '.join(RECIPES)}",
            cure="Q4_K_M suits most",
        )
    headers = [read_header(one) for one in parts_of(file)]
    gguf = describe(headers[0], headers[1:], name=file.name)
    if done := [one.type for one in gguf.tensors if len(one.shape) > 1 and one.type not in _PLAIN]:
        raise ConfigError(
            f"{file.name} is quantised already ({done[0]}); doing it again would ruin it",
            cure="take the F16 or BF16 file of this model",
        )
    _check_room(gguf, kind, new)
    began = time.monotonic()
    if _library() is not None:
        way = "the engine's library"
        run([sys.executable, "-m", __name__, str(file), kind, str(new)], told)
    elif program := _program(engines):
        way = program
        _run_program(program, file, kind, new)
    else:
        raise ConfigError(
            "nothing on this machine can quantise: neither the engine's library nor llama-quantize",
            cure="install the engine (`./start` does, or pip install xllamacpp), or llama.cpp",
        )
    return Smaller(
        path=new,
        before=gguf.bytes,
        after=new.stat().st_size,
        quantisation=kind,
        seconds=round(time.monotonic() - began, 2),
        way=way,
    )


def size_after(gguf: Gguf, quantisation: str) -> int:
    """About how many bytes a model will have."""
    types = types_for(gguf, quantisation)
    return sum(
        NAMED[types[one.name]].bytes(one.bytes // NAMED[one.type].size * NAMED[one.type].block)
        for one in gguf.tensors
    )


def _check_room(gguf: Gguf, kind: str, new: Path) -> None:
    needed, free = size_after(gguf, kind), shutil.disk_usage(new.parent).free
    if needed > free:
        raise ConfigError(
            f"the disk of {new.parent} has {free:,} bytes free, the result needs {needed:,}",
            cure="make room, or choose a smaller quantisation",
        )


@functools.cache
def _library() -> Path | None:
    """The file of the engine's wheel, where it is installed and exports the quantisers."""
    try:
        files = importlib.metadata.files("xllamacpp") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".so" and path.is_file():
            with (
                path.open("rb") as opened,
                mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            ):
                if mapped.find(b"ggml_quantize_chunk\0") >= 0:
                    return path
    return None


def _program(engines: Path | None) -> str | None:
    built = sorted(engines.glob("*/bin/llama-quantize")) if engines else []
    return str(built[-1]) if built else shutil.which("llama-quantize")


def _run_program(program: str, file: Path, kind: str, new: Path) -> None:
    part = new.with_name(f"{new.name}.part")
    done = subprocess.run(
        [program, str(file), str(part), kind],
        capture_output=True,
        text=True,
        check=False,
        env=surroundings.running(),
    )
    if done.returncode:
        part.unlink(missing_ok=True)
        tail = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise ConfigError(f"{program} failed: {' '.join(tail)}", cure="see whether it runs alone")
    part.replace(new)


class _Quantiser:
    """ggml's functions; each call lets the other threads run."""

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library))
        self._chunk = loaded.ggml_quantize_chunk
        self._chunk.restype = ctypes.c_size_t
        self._chunk.argtypes = [
            *(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
            *(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p),
        ]
        self._floats: dict[str, Callable[[int, int, int], None]] = {}
        for kind, name in _FLOATS.items():
            function = getattr(loaded, name)
            function.restype = None
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
            self._floats[kind] = function
        self._half = loaded.ggml_fp32_to_fp16_row
        self._half.restype = None
        self._half.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]

    def __call__(self, data: bytes, kind: str, to: str, row: int) -> bytes:
        """Whole rows of `row` values of type `kind` as the type `to`."""
        values = len(data) // NAMED[kind].size
        source = ctypes.create_string_buffer(data, len(data))
        if kind != "F32":
            floats = ctypes.create_string_buffer(values * 4)
            self._floats[kind](ctypes.addressof(source), ctypes.addressof(floats), values)
            source = floats
        made = ctypes.create_string_buffer(NAMED[to].bytes(values))
        if to == "F16":
            self._half(ctypes.addressof(source), ctypes.addressof(made), values)
        else:
            here, there = ctypes.addressof(source), ctypes.addressof(made)
            self._chunk(NAMED[to].number, here, there, 0, values // row, row, None)
        return made.raw


class _Source:
    """Tensors of one mapped file."""

    def __init__(self, path: Path, header: Header) -> None:
        with path.open("rb") as file:
            self.mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.header = header

    def pieces(self, tensor: Tensor) -> Iterator[bytes]:
        """A tensor's bytes, some rows at a time."""
        start = self.header.data + tensor.offset
        kind = NAMED[tensor.type]
        row = kind.bytes(tensor.shape[0])
        step = max(1, PIECE_VALUES // tensor.shape[0]) * row
        for at in range(start, start + tensor.bytes, step):
            yield self.mapped[at : min(at + step, start + tensor.bytes)]


def _main(file: Path, kind: str, new: Path) -> int:
    """The child: reads, quantises on all processors, writes in order."""
    library = _library()
    if library is None:
        return 1
    paths = parts_of(file)
    headers = [read_header(path) for path in paths]
    gguf = describe(headers[0], headers[1:], name=file.name)
    types = types_for(gguf, kind)
    sources = [_Source(path, header) for path, header in zip(paths, headers, strict=True)]
    quantiser = _Quantiser(library)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = threads or 1
    with ThreadPoolExecutor(threads) as pool:
        made = [
            Made(
                name=tensor.name,
                shape=tensor.shape,
                type=types[tensor.name],
                pieces=functools.partial(
                    _quantised,
                    source=source,
                    tensor=tensor,
                    to=types[tensor.name],
                    work=quantiser,
                    pool=pool,
                    ahead=2 * threads,
                ),
            )
            for source in sources
            for tensor in source.header.tensors
        ]
        write(new, _pairs(sources[0], kind), made, _report)
    return 0


def _quantised(
    *,
    source: _Source,
    tensor: Tensor,
    to: str,
    work: Callable[[bytes, str, str, int], bytes],
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[bytes]:
    """A tensor's pieces in their new type; a few are at work at a time."""
    if tensor.type == to:
        yield from source.pieces(tensor)
        return
    running: deque[Future[bytes]] = deque()
    for piece in source.pieces(tensor):
        running.append(pool.submit(work, piece, tensor.type, to, tensor.shape[0]))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _pairs(source: _Source, kind: str) -> list[bytes]:
    """All keys as they are, but those that speak of the quantisation or of the file's parts."""
    changed = {"general.file_type", "general.quantization_version", "general.alignment"}
    kept = [
        source.mapped[start:end]
        for key, (start, end) in source.header.spans.items()
        if key not in changed and not key.startswith("split.")
    ]
    return [
        *kept,
        number_pair("general.file_type", RECIPES[kind].number),
        number_pair("general.quantization_version", 2),
    ]


def _report(have: int, total: int) -> None:
    print(json.dumps([have, total]), flush=True)


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
