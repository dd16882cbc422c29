# SPDX-License-Identifier: AGPL-3.0-or-later
"""One module per channel; each holds `counterpart`, which makes a `Counterpart` when called.

A new file in this folder registers a channel with the suite; nothing else has to be touched.
"""
