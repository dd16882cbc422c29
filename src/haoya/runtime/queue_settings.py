# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[queue]`: how this machine's thinking is shared, and how much of it each person may have."""

from typing import Annotated

import pydantic
from pydantic import ConfigDict, Field

Weight = Annotated[float, Field(gt=0, le=1000)]
Weights = dict[Annotated[str, Field(min_length=1)], Weight]
Tokens = Annotated[int, Field(ge=0)]
ROLES = ("owner", "member", "guest")


class Quota(pydantic.BaseModel):
    """Tokens that may be used in each hour and each day of the machine's clock."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hour: Tokens | None = None
    day: Tokens | None = None


class QueueSettings(pydantic.BaseModel):
    """`[queue]`. `weights` and `gpu_share` by person (CHANNEL:ID), channel or conversation (its
    key); `budgets` by person or role. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: Weights = {}
    gpu_share: Weights = Field({}, description="weights that hold instead where a GPU is found")
    deadline: float = Field(120, gt=0, le=3600, description="longest wait for an answer to begin")
    beside: int = Field(
        1, ge=0, le=64, description="one person's requests at a time while others are about; 0: all"
    )
    memory_floor_mib: int | None = Field(
        None, ge=0, description="free memory below which requests wait; none: a 20th of all"
    )
    budgets: dict[str, Quota] = {}

    @pydantic.field_validator("budgets")
    @classmethod
    def _people_or_roles(cls, value: dict[str, Quota]) -> dict[str, Quota]:
        for key in value:
            if key not in ROLES and not all(key.partition(":")):
                raise ValueError(
                    f"{key!r} is nobody; write owner, member, guest or CHANNEL:ID, "
                    "such as tg:123456"
                )
        return value

    def quota(self, person: str, role: str) -> Quota:
        """What a person may use: their own budget, else their role's, else any amount."""
        return self.budgets.get(person) or self.budgets.get(role) or Quota()
