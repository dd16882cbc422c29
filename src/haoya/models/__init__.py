# SPDX-License-Identifier: AGPL-3.0-or-later
"""Models over the wire, one plugin each."""
