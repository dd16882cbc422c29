# SPDX-License-Identifier: AGPL-3.0-or-later
"""Judgement: who may speak, what may run. Pure where it can be."""
