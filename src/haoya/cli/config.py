# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya config`: the settings file, daemon or not."""

from haoya.cli.answers import Findings
from haoya.cli.house import read_files, shaped
from haoya.cli.lent import Lent
from haoya.cli.report import findings
from haoya.cli.view import FINDINGS, OK
from haoya.cli.words import say


def check(*, view: Lent) -> int:
    """Read the settings as the daemon would, and name every fault."""
    result = read_files(view, "config_check")
    found = shaped(result, Findings).findings
    if view.json:
        view.document(result)
    else:
        view.print(*findings(found) or [say("config.well", path=view.home / "settings.toml")])
    return FINDINGS if any(one.severity == "error" for one in found) else OK


def schema(*, view: Lent) -> int:
    """Print the JSON Schema of the settings file, for editors."""
    view.document(read_files(view, "config_schema"))
    return OK


def path(*, view: Lent) -> int:
    """Print where the settings file is."""
    where = str(view.home / "settings.toml")
    if view.json:
        view.document({"path": where})
    else:
        view.print(where)
    return OK
