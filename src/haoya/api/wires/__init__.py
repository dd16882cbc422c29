# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public wires clients speak: each reads requests and writes answers, nothing more."""
