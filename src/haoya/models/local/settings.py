# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[models.NAME] use = "local"`."""

from typing import Literal

import pydantic
from pydantic import Field

from haoya.inference.engine import CacheType


class LocalSettings(pydantic.BaseModel):
    """Which file, and how much of the machine it may have. What is left out fits the machine."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        min_length=1, description="Name in `haoya models list`, a .gguf file or an ONNX folder"
    )
    engine: Literal["auto", "native", "wheel", "server"] = Field(
        default="auto", description="What runs it; auto takes the fastest there is"
    )
    context_tokens: int = Field(
        default=8192, ge=256, description="Tokens that prompt and answer may have together"
    )
    sessions: int = Field(default=4, ge=1, le=64, description="Answers at the same time")
    max_tokens: int | None = Field(default=None, ge=1, description="Most tokens of an answer")
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="How freely it chooses words; – for the engine's own"
    )
    threads: int = Field(default=0, ge=0, description="Threads; 0 for the processor's cores")
    batch: int = Field(
        default=256, ge=16, le=4096, description="Prompt tokens in one step; others wait so long"
    )
    cache_type: CacheType = Field(
        default="f16", description="Form of the attention cache; q8_0 halves it and is slower"
    )
    repack: bool | None = Field(
        default=None, description="Reorder weights: faster prompts, twice the memory; – by memory"
    )
    flash_attention: Literal["auto", "on", "off"] = "auto"
    gpu_layers: int = Field(default=-1, ge=-1, description="Layers on the GPU; -1: what fits")
    embedding: bool = Field(default=False, description="The model makes vectors, not answers")
    projector: str = Field(default="", description="File that lets it see pictures (mmproj)")
    draft: str = Field(default="", description="A small model that guesses ahead (speculative)")
    adapters: list[str] = Field(default=[], description="LoRA adapters, applied together")
    min_context_tokens: int = Field(
        default=0, ge=0, description="Under load, contexts may shrink to this; 0: never"
    )
    lighter: str = Field(
        default="", description="Under pressure, this smaller file of the same model may answer"
    )
    prewarm: bool = Field(default=True, description="Start with haoya, not with the first question")
    unload_minutes: float = Field(
        default=0, ge=0, description="Give the memory back when unused so long; 0: never"
    )
    memory_mib: int = Field(default=0, ge=0, description="Most memory of its own; 0: any")
    cache_disk_mib: int = Field(
        default=2048, ge=0, description="Disk for caches of conversations; 0: none are kept"
    )
