# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writes docs/reference/plugins.md, the settings of every built-in plugin:
`python -m tests.house.plugins`."""

import json
from pathlib import Path

from pydantic.fields import FieldInfo

from haoya.core.plugin import PluginKind
from haoya.runtime.registry import built_in, find

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "plugins.md"
SECTIONS: dict[PluginKind, str] = {"channel": "channels", "model": "models", "tools": "tools"}
HIDDEN = {"local"}
"""Plugins that have no section of the owner's."""

HEAD = """# Plugins and their settings

Written by `python -m tests.house.plugins` from the plugins themselves; do not edit.
Every section also has `use` (the plugin) and `enabled`, channels have `access`, models
`place`, prices and budgets: see [settings](settings.md).
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for kind, section in SECTIONS.items():
        for name in sorted(built_in(kind) - HIDDEN):
            plugin = find(kind, name)
            lines.append(f"## `{name}` in `[{section}.NAME]`\n")
            lines.append(f"{plugin.summary}. {plugin.summary_zh}。\n")
            fields: dict[str, FieldInfo] = plugin.settings.model_fields
            if fields:
                lines.append("| setting | default | meaning |\n|---|---|---|")
                lines += [_row(name, field) for name, field in fields.items()]
                lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(name: str, field: FieldInfo) -> str:
    default = "needed" if field.is_required() else f"`{json.dumps(field.default)}`"
    words = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name}` | {default.replace('null', '–')} | {words[:1].upper()}{words[1:]} |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
