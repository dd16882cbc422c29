# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya open`: into the window, with an address that lets its bearer in once."""

import os
import webbrowser

from haoya.cli.answers import Link
from haoya.cli.house import ask, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import OK


def open_panel(*, view: Lent) -> int:
    """Print a fresh address of the window, and open it where there is a browser."""
    result = ask(view, "link")
    if view.json:
        view.document(result)
        return OK
    url = shaped(result, Link).url
    view.print(url)
    if view.interactive and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(url)
    return OK
