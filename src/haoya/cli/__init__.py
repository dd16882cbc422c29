# SPDX-License-Identifier: AGPL-3.0-or-later
"""The door: one module per command, imported only when it runs."""
