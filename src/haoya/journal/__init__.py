# SPDX-License-Identifier: AGPL-3.0-or-later
"""What happened: an append-only log, what is still owed, and the blobs."""
