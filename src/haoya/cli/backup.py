# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya backup`: a copy of the home that can be trusted."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from haoya.cli.client import reach
from haoya.cli.house import room
from haoya.cli.lent import Lent
from haoya.cli.view import OK, View
from haoya.cli.words import say
from haoya.core.errors import ConfigError

BackupFile = Annotated[Path, Parameter(help=say("option.backup"))]


def create(target: BackupFile, /, *, view: Lent) -> int:
    """Write a backup of the whole home into one file; the daemon may run meanwhile."""
    room(view, "haoya.runtime.backup", "create")(view.home, target.absolute())
    return _done(view, "backup.created", target)


def verify(file: BackupFile, /, *, view: Lent) -> int:
    """Check that a backup is whole."""
    room(view, "haoya.runtime.backup", "verify")(file.absolute())
    return _done(view, "backup.verified", file)


def restore(
    file: BackupFile,
    /,
    *,
    force: Annotated[bool, Parameter(negative="", help=say("option.force"))] = False,
    view: Lent,
) -> int:
    """Put a backup back into the home; the daemon must not run."""
    if client := reach(view.home):
        client.close()
        raise ConfigError(say("backup.running", home=view.home), cure="haoya down")
    room(view, "haoya.runtime.backup", "restore")(file.absolute(), view.home, force=force)
    return _done(view, "backup.restored", file)


def _done(view: View, sentence: str, file: Path) -> int:
    if view.json:
        view.document({"file": str(file.absolute()), "home": str(view.home)})
    else:
        view.print(say(sentence, file=file, home=view.home))
    return OK
