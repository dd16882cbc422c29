# SPDX-License-Identifier: AGPL-3.0-or-later
"""What happened: an append-only log, what is still owed, and the blobs."""

from haoya.journal.journal import Journal, open_journal
from haoya.journal.words import Conversation, Figures, Owed

__all__ = ["Conversation", "Figures", "Journal", "Owed", "open_journal"]
