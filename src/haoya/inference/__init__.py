# SPDX-License-Identifier: AGPL-3.0-or-later
"""Local models: files, engine process, prompt cache, fair queue, router."""
