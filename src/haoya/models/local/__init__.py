# SPDX-License-Identifier: AGPL-3.0-or-later
"""Models that run on this machine: a GGUF file (or an ONNX folder) in an engine of its own."""

from haoya.core.plugin import Plugin
from haoya.models.local.model import LocalModel
from haoya.models.local.opening import open_model
from haoya.models.local.settings import LocalSettings

plugin: Plugin[LocalSettings, LocalModel] = Plugin(
    kind="model",
    name="local",
    settings=LocalSettings,
    open=open_model,
    summary="A model file that runs on this machine (GGUF, through llama.cpp)",
    summary_zh="在本机运行的模型文件（GGUF，经 llama.cpp）",
)
