# SPDX-License-Identifier: AGPL-3.0-or-later
"""haoya (好呀): a local-first AI agent that answers in every chat app and loses no message."""

__version__ = "0.1.0"
