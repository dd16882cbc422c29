# SPDX-License-Identifier: AGPL-3.0-or-later
"""The window for other haoya nodes of the owner's: they ask our models, and nothing else."""
