# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a disk can do to us, in words that name the cure."""

import errno

import apsw

from haoya.core.errors import Unready

_FULL = "the disk is full; free some space, writing goes on by itself"
_READ_ONLY = (
    "the disk or folder is read-only; make it writable for this user, or choose another folder "
    "with HAOYA_HOME"
)
_BROKEN = "the disk fails ({0}); look at the system's log and at the health of the disk"
_DAMAGED = "the file is damaged ({0}); put a backup in its place with: haoya backup restore FILE"
_BUSY = "another program holds the file ({0}); close it"

_BY_ERRNO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
}
_BY_TYPE: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, _FULL),
    (apsw.ReadOnlyError, _READ_ONLY),
    (apsw.PermissionsError, _READ_ONLY),
    (apsw.CantOpenError, "the file cannot be opened ({0}); look at its folder's permissions"),
    (apsw.CorruptError, _DAMAGED),
    (apsw.NotADBError, _DAMAGED),
    (apsw.IOError, _BROKEN),
    (apsw.BusyError, _BUSY),
    (apsw.LockedError, _BUSY),
    (apsw.InterruptError, "closed while reading; open it again"),
)


def explain(error: Exception, subject: str = "journal") -> Unready | None:
    """The `Unready` behind an error of SQLite or the operating system.

    None where the error says nothing about the disk, and so is a fault of ours.

    >>> str(explain(OSError(errno.ENOSPC, "No space left on device"), "blob store"))
    'blob store: the disk is full; free some space, writing goes on by itself'
    """
    if isinstance(error, OSError):
        words = _BY_ERRNO.get(error.errno or 0, _BROKEN)
        return Unready(f"{subject}: {words.format(error.strerror or error)}")
    for kind, words in _BY_TYPE:
        if isinstance(error, kind):
            return Unready(f"{subject}: {words.format(error)}")
    return None
