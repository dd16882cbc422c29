# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small true stand-ins for networks whose servers cannot be had; each runs as its own process."""
