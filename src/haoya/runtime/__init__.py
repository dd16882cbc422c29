# SPDX-License-Identifier: AGPL-3.0-or-later
"""Life: settings, registry, supervisor, delivery and the gateway that wires the rooms."""
