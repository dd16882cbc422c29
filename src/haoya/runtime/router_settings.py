# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[router]` and what it needs to know of each `[models.NAME]`: which model is asked."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal

import httpx2
import pydantic
from pydantic import ConfigDict, Field

from haoya.core.tool import Place
from haoya.inference.router import PREFER, Talent, Weights
from haoya.inference.spending import Budget, Price

Goal = Literal["first", "rate", "price", "success"]
Weight = Annotated[float, Field(ge=0, le=1000)]
Money = Annotated[float, Field(ge=0, le=1e9)]

_HERE = frozenset({"local", "script", "onnx"})
"""Plugins that think in this machine's own memory."""


class RouterSettings(pydantic.BaseModel):
    """`[router]`: how a model is chosen among those that `[agent] model` names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    choose: Literal["order", "measured"] = Field(
        "order", description="the owner's order, or the best by what was measured"
    )
    prefer: Literal["balance", "speed", "price"] | dict[Goal, Weight] = Field(
        "balance", description="what counts; or weights for first, rate, price, success"
    )
    hedge_seconds: float = Field(
        0, ge=0, le=600, description="begin with the next model after so long; 0: never"
    )
    budget_day: Money = Field(0, description="most money for all models in a day; 0: no limit")
    budget_month: Money = Field(0, description="the same for a month")
    remember_answers: int = Field(
        0, ge=0, le=1024, description="MiB of answers kept for the same question; 0: none"
    )
    remember_drawn: bool = Field(
        False, description="keep answers too that were drawn with a temperature above 0"
    )

    @pydantic.field_validator("prefer")
    @classmethod
    def _weighs_something(cls, value: str | dict[Goal, float]) -> str | dict[Goal, float]:
        if isinstance(value, dict) and not sum(value.values()):
            raise ValueError("all weights are 0; write e.g. { first = 1, price = 1 }")
        return value

    @property
    def weights(self) -> Weights:
        """`prefer` in numbers; a goal that is not named counts nothing."""
        if isinstance(self.prefer, str):
            return PREFER[self.prefer]
        given = self.prefer
        return Weights(
            first=given.get("first", 0),
            rate=given.get("rate", 0),
            price=given.get("price", 0),
            success=given.get("success", 0),
        )

    @property
    def budget(self) -> Budget:
        """The most for all models together."""
        return Budget(day=self.budget_day, month=self.budget_month)


class PartFrame(pydantic.BaseModel):
    """The keys every `[models.NAME]` and `[tools.NAME]` has; the rest belongs to the plugin."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    use: str = Field(min_length=1)
    enabled: bool = True


class ModelFrame(PartFrame):
    """The further keys of `[models.NAME]`: what the router knows of a model without asking it."""

    place: Place | None = Field(None, description="where it thinks: here, own or outside")
    price_in: Money = Field(0, description="money for a million tokens of prompt")
    price_out: Money = Field(0, description="money for a million tokens of answer")
    lacks: list[Talent] | None = Field(None, description="what it cannot do: images, tools, schema")
    budget_day: Money = Field(0, description="most money for this model in a day; 0: no limit")
    budget_month: Money = Field(0, description="the same for a month")

    @property
    def price(self) -> Price:
        """What its tokens cost."""
        return Price(into=self.price_in, out=self.price_out)

    @property
    def budget(self) -> Budget:
        """The most for this model alone."""
        return Budget(day=self.budget_day, month=self.budget_month)

    def place_of(self, table: Mapping[str, object]) -> Place:
        """Where it thinks: as the owner says, else as its plugin and its address tell."""
        if self.place:
            return self.place
        if self.use in _HERE:
            return "here"
        if self.use == "peer":
            return "own"
        return "here" if _is_loopback(str(table.get("base_url", ""))) else "outside"

    def lacks_of(self, table: Mapping[str, object]) -> frozenset[Talent]:
        """What it cannot do: as the owner says, else no pictures unless its section has
        `vision` or a `projector`."""
        if self.lacks is not None:
            return frozenset(self.lacks)
        sees = bool(table.get("vision") or table.get("projector"))
        return frozenset() if sees else frozenset({"images"})


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        host = httpx2.URL(address).host
    except httpx2.InvalidURL:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
