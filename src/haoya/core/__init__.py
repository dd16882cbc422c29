# SPDX-License-Identifier: Apache-2.0
"""The words of the house: everything a plugin needs, and nothing of ours behind it."""
