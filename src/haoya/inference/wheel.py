# SPDX-License-Identifier: AGPL-3.0-or-later
"""The engine of the package `xllamacpp`, run as a child: `python -m haoya.inference.wheel LAUNCH`.

`LAUNCH` is the JSON of a `Launch`. The package runs llama.cpp's own HTTP server inside of this
process; there is nothing left to do here but to wait.
"""

import signal
import sys
from typing import Any

import msgspec
import xllamacpp

from haoya.inference.engine import Launch

_llama: Any = xllamacpp  # it has no types

CACHE_TYPES = {
    "f16": _llama.ggml_type.GGML_TYPE_F16,
    "q8_0": _llama.ggml_type.GGML_TYPE_Q8_0,
    "q4_0": _llama.ggml_type.GGML_TYPE_Q4_0,
}
FLASH = {
    "auto": _llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": _llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": _llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}


def parameters(launch: Launch) -> Any:
    """The library's form of a launch: as `engine.arguments` says it to `llama-server`."""
    params = _llama.CommonParams()
    params.model.path = launch.model
    params.hostnames = [launch.socket]
    params.port = 1  # not used with a Unix socket, but must not be 0
    params.ui = False
    params.use_jinja = True
    params.warmup = False
    params.n_parallel = launch.sessions
    params.kv_unified = False
    params.n_ctx = launch.context_tokens * launch.sessions
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = launch.cores
    params.n_batch = max(launch.batch, 32)
    params.n_ubatch = launch.batch
    params.cache_ram_mib = 0
    params.slot_prompt_similarity = 0.0
    params.cache_type_k = params.cache_type_v = CACHE_TYPES[launch.cache_type]
    params.flash_attn_type = FLASH[launch.flash_attention]
    params.no_extra_bufts = not launch.repack
    if launch.slots:
        params.slot_save_path = launch.slots.rstrip("/") + "/"
    if launch.projector:
        params.mmproj.path = launch.projector
    if launch.draft:
        params.speculative.draft.mparams.path = launch.draft
        params.speculative.types = [
            _llama.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE
        ]
    if launch.adapters:
        params.lora_adapters = [_llama.CommonAdapterLoraInfo(p, 1.0) for p in launch.adapters]
    if launch.embedding:
        params.embedding = True
        params.pooling_type = _llama.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if launch.gpu_layers >= 0:
        params.n_gpu_layers = launch.gpu_layers
    return params


def main() -> None:
    """Serve until told to end."""
    server = _llama.Server(parameters(msgspec.json.decode(sys.argv[1], type=Launch)))
    print(server.listening_address, file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
