# SPDX-License-Identifier: AGPL-3.0-or-later
"""Chat networks and message buses, one plugin each."""
