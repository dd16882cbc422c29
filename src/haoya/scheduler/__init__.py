# SPDX-License-Identifier: AGPL-3.0-or-later
"""Time and tasks: timers, cron, queues; emits events."""
