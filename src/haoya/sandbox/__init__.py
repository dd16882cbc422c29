# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where programs run that nobody vouches for."""
