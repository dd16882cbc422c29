# SPDX-License-Identifier: AGPL-3.0-or-later
"""One suite for every channel, and the matrix made from its outcome."""
