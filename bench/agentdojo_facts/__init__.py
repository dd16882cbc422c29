# SPDX-License-Identifier: AGPL-3.0-or-later
"""What policy needs to know of AgentDojo's tools, stated from each tool's own meaning.

One module per suite. Written for banking, slack and workspace, and for travel from its tools
alone, before any of travel's tasks had been looked at; the git history shows the order.

A service that keeps the owner's things vouches for what it fills in itself (numbers of records,
the owner's own entries), not for texts that strangers can send to it. `author` is therefore
`untrusted` wherever anybody may have written some of a result.
"""
