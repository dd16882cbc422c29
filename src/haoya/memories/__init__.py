# SPDX-License-Identifier: AGPL-3.0-or-later
"""Stores for what people asked to be remembered."""
