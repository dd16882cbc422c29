# SPDX-License-Identifier: AGPL-3.0-or-later
"""OpenAI's Responses API, which keeps a reasoning model's thoughts across the calls of a turn."""

from haoya.core.plugin import Plugin
from haoya.models._wire.opening import opener
from haoya.models.responses.client import ResponsesModel, ResponsesSettings

plugin = Plugin(
    kind="model",
    name="responses",
    settings=ResponsesSettings,
    open=opener(ResponsesModel),
    summary="OpenAI's Responses API; best for its reasoning models",
    summary_zh="OpenAI 的 Responses 接口，最适合它的推理模型",
)
