# SPDX-License-Identifier: AGPL-3.0-or-later
"""Anthropic's Messages API: Claude, and the servers that speak its wire."""

from haoya.core.plugin import Plugin
from haoya.models._wire.opening import opener
from haoya.models.anthropic.client import AnthropicModel, AnthropicSettings

plugin = Plugin(
    kind="model",
    name="anthropic",
    settings=AnthropicSettings,
    open=opener(AnthropicModel),
    summary="Anthropic's Messages API: Claude, and servers that speak the same",
    summary_zh="Anthropic 的 Messages 接口：Claude，以及兼容它的服务",
)
