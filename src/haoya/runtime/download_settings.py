# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[downloads]`: where models come from."""

import re

import pydantic

from haoya.runtime.section import Section


class DownloadSettings(Section):
    """`[downloads]`: other addresses for the registries of models (mirrors), and tokens for them
    as secret references; empty is the registry's own, or what the environment says."""

    huggingface: str = ""
    huggingface_token: str = ""
    modelscope: str = ""
    modelscope_token: str = ""
    ollama: str = ""
    ollama_token: str = ""

    @pydantic.field_validator("huggingface", "modelscope", "ollama")
    @classmethod
    def _addresses(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
            raise ValueError(f"{value!r} is no address; write https://HOST")
        return value.rstrip("/")
