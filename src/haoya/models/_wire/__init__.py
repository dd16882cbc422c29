# SPDX-License-Identifier: AGPL-3.0-or-later
"""What all wires to model servers share; a wire itself is little more than encode and parse.

`settings` what every wire lets the owner say, `link` one request's life with its deadlines,
`refusal` what it means when a server does not answer, `events` from bytes to objects, `quirks` how
providers differ, `fitting` prompts cut to what a wire takes, `thoughts` `<think>` in the text.
"""
