# SPDX-License-Identifier: AGPL-3.0-or-later
"""The vault: secrets encrypted at rest. Imported only by the short-lived programs that open it."""
