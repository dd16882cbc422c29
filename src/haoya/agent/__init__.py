# SPDX-License-Identifier: AGPL-3.0-or-later
"""Thinking: transcript, turn, context budget. No I/O."""
