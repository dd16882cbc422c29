# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ollama's own API, which says more than its compatible one: context size, memory, thoughts."""

from haoya.core.plugin import Plugin
from haoya.models._wire.opening import opener
from haoya.models.ollama.client import OllamaModel, OllamaSettings

plugin = Plugin(
    kind="model",
    name="ollama",
    settings=OllamaSettings,
    open=opener(OllamaModel),
    summary="Ollama, on this machine or another",
    summary_zh="Ollama，本机或其他机器上的都可以",
)
