# SPDX-License-Identifier: AGPL-3.0-or-later
"""What strangers' pages say, as text for a model. Runs in a process of its own and needs nothing
but Python's own library, so that it can be shut in and started quickly."""
