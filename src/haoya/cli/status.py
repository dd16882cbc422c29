# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya status` with the options of every command; `haoya.cli.report` does the work."""

from haoya.cli.lent import Lent
from haoya.cli.report import report


def status(*, view: Lent) -> int:
    """Show how the daemon, its channels and its models are."""
    return report(view)
