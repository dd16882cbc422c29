# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the daemon lives."""

import os
from pathlib import Path


def home_folder(explicit: str | None) -> Path:
    """The folder of everything haoya keeps: `explicit`, else HAOYA_HOME, else `~/.haoya`."""
    chosen = explicit or os.environ.get("HAOYA_HOME") or "~/.haoya"
    return Path(chosen).expanduser().absolute()
