# SPDX-License-Identifier: AGPL-3.0-or-later
"""Any server that speaks OpenAI's Chat Completions: llama.cpp, vLLM, Ollama, the clouds."""

from haoya.core.plugin import Plugin
from haoya.models._wire.opening import opener
from haoya.models.openai.client import OpenaiModel, OpenaiSettings

plugin = Plugin(
    kind="model",
    name="openai",
    settings=OpenaiSettings,
    open=opener(OpenaiModel),
    summary="Any OpenAI-compatible model server, local or in a cloud",
    summary_zh="任何兼容 OpenAI 接口的模型服务，本地或云端",
)
