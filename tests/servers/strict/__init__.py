# SPDX-License-Identifier: AGPL-3.0-or-later
"""Strict stand-ins of model servers: they take what the real API takes and nothing else.

    python -m tests.servers.strict --wire anthropic --port 0 [--key K]

A wire (`chat`, `responses`, `messages`, `ollama`) checks a request as the provider does and speaks
the event shapes of the provider's reference; what is said follows by rote from the last user line
(see `tests/servers/openai.py`). `POST /control` changes the behaviour (fields of `Faults`).
"""
