# SPDX-License-Identifier: AGPL-3.0-or-later
"""How a command declares what it is lent rather than told."""

from typing import Annotated

from cyclopts import Parameter

from haoya.cli.view import View

Lent = Annotated[View, Parameter(parse=False)]
"""The view, handed in by the launcher; the person types none of it."""
