# SPDX-License-Identifier: AGPL-3.0-or-later
"""Personal data in words: found by rule, put away behind placeholders, put back into the answer."""
