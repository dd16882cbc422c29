# SPDX-License-Identifier: Apache-2.0
"""Where the owner's own door is: the path both sides of the local socket work out by themselves."""

import hashlib
import os
import stat
from pathlib import Path

from haoya.core.errors import ConfigError

# sun_path holds 108 bytes on Linux (unix(7)), 104 on macOS and the BSDs, one of them for the NUL.
SOCKET_PATH_BYTES = 103


def socket_path(home: Path) -> Path:
    """The local socket of the daemon that lives in `home`.

    `home/run/local.sock`, or, where a socket address cannot hold that, a path under `/tmp` made
    from the home's owner and a hash of the path. No environment variable takes part: a daemon
    started by the system and a terminal must come to the same answer.

    >>> socket_path(Path("/srv/haoya"))
    PosixPath('/srv/haoya/run/local.sock')
    """
    home = home.absolute()
    near = home / "run" / "local.sock"
    if len(os.fsencode(near)) <= SOCKET_PATH_BYTES:
        return near
    owner = home.stat().st_uid if home.exists() else os.getuid()
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path("/tmp") / f"haoya-{owner}-{digest}" / "local.sock"


def check_private(folder: Path, owner: int) -> None:
    """Raise `ConfigError` unless `folder` belongs to `owner` or root and nobody else may enter.

    Whoever could write into the folder of a socket could stand in for the daemon.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} is not a folder", cure=f"remove {folder}")
    if found.st_uid not in (owner, 0):
        raise ConfigError(
            f"{folder} belongs to user {found.st_uid}, not to us",
            cure=f"remove {folder}, or let root remove it",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(f"{folder} is open to other users", cure=f"close it: chmod 700 {folder}")
