# SPDX-License-Identifier: AGPL-3.0-or-later
"""What happened: an append-only log, what is still owed, and the blobs."""

from haoya.journal.backup import Manifest, StoredFile, create_backup
from haoya.journal.blobs import BlobStore
from haoya.journal.journal import Journal, open_journal
from haoya.journal.lock import holder
from haoya.journal.restore import restore_backup, verify_backup
from haoya.journal.sealing import settle
from haoya.journal.words import Conversation, Figures, Owed

__all__ = [
    "BlobStore",
    "Conversation",
    "Figures",
    "Journal",
    "Manifest",
    "Owed",
    "StoredFile",
    "create_backup",
    "holder",
    "open_journal",
    "restore_backup",
    "settle",
    "verify_backup",
]
