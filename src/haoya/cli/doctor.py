# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya doctor`: what is wrong and how it is put right."""

from typing import Annotated

from cyclopts import Parameter

from haoya.cli.answers import Findings
from haoya.cli.house import ask_anyhow, shaped
from haoya.cli.lent import Lent
from haoya.cli.report import findings
from haoya.cli.view import FINDINGS, OK
from haoya.cli.words import say

DOCTOR_SECONDS = 60.0


def doctor(
    *,
    strict: Annotated[bool, Parameter(negative="", help=say("option.strict"))] = False,
    security: Annotated[bool, Parameter(negative="", help=say("option.security"))] = False,
    view: Lent,
) -> int:
    """Look for faults in the settings, the journal, the channels and the models.

    With `security`: what is open, loosened or unencrypted, each with a stable id and a fix.

    The status is 5 where there is an error or a warning, with `strict` also for a mere note.
    """
    result = ask_anyhow(view, "doctor", seconds=DOCTOR_SECONDS, security=security)
    found = shaped(result, Findings).findings
    if view.json:
        view.document(result)
    else:
        view.print(*findings(found) or [say("doctor.closed" if security else "doctor.well")])
    grave = any(strict or one.severity in ("error", "warning") for one in found)
    return FINDINGS if grave else OK
