# SPDX-License-Identifier: AGPL-3.0-or-later
"""What all sections of the settings have in common."""

import pydantic
from pydantic import ConfigDict


class Section(pydantic.BaseModel):
    """A section of the settings: unknown keys are faults, named one by one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
