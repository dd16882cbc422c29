# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the agent can do, one plugin each."""
