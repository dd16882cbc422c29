# SPDX-License-Identifier: AGPL-3.0-or-later
"""The window: HTTP API, OpenAI-compatible endpoint, metrics, the chat page."""
