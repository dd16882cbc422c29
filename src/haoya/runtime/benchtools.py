# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a model is asked to see whether it can use tools: a few tools, and requests for them in
English and Chinese. Nothing of it is ever run."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from haoya.core.schema import schema_of
from haoya.core.tool import ToolCall, ToolSpec

SYSTEM = (
    "You are a helpful assistant. Call a tool when the request needs one, and none when it does "
    "not. 需要时调用工具，不需要时直接回答。"
)

Currency = Literal["CNY", "EUR", "JPY", "USD"]


class Weather(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `weather`."""

    city: Annotated[str, Meta(min_length=1, description="Name of the city")]
    days: Annotated[int, Meta(ge=1, le=14, description="How many days ahead")] = 1


class Remind(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `remind`."""

    text: Annotated[str, Meta(min_length=1, description="What to be reminded of")]
    at: Annotated[
        str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Time, as 18:30")
    ]


class Convert(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `convert`."""

    amount: Annotated[float, Meta(gt=0)]
    source: Currency
    target: Currency


class Find(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `find_files`."""

    query: Annotated[str, Meta(min_length=1, description="Words the file contains")]
    limit: Annotated[int, Meta(ge=1, le=50)] = 10


class Light(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `light`."""

    room: Annotated[str, Meta(min_length=1)]
    on: bool


ARGUMENTS: dict[str, type[msgspec.Struct]] = {
    "weather": Weather,
    "remind": Remind,
    "convert": Convert,
    "find_files": Find,
    "light": Light,
}

_PURPOSES = {
    "weather": "The weather forecast for a city.",
    "remind": "Remind the person of something at a time today.",
    "convert": "Convert an amount of money from one currency into another.",
    "find_files": "Find files on this computer by what stands in them.",
    "light": "Turn the light in a room on or off.",
}

TOOLS = tuple(
    ToolSpec(name=name, purpose=_PURPOSES[name], schema=schema_of(kind))
    for name, kind in ARGUMENTS.items()
)


class Request(msgspec.Struct, frozen=True):
    """What a person says, and the tool it needs ("" for none)."""

    wanted: str
    text: str


REQUESTS = (
    Request("weather", "What will the weather be like in Paris tomorrow?"),
    Request("weather", "杭州未来三天天气怎么样？"),
    Request("remind", "Remind me to call my mother at half past six this evening."),
    Request("remind", "晚上九点提醒我吃药。"),
    Request("", "Thank you very much, and good night!"),
    Request("convert", "How much are 120 euros in US dollars?"),
    Request("convert", "一百元人民币是多少日元？"),
    Request("find_files", "Find the file with my rental contract on this computer."),
    Request("find_files", "帮我找一下电脑里写着会议记录的文件。"),
    Request("light", "Please turn off the light in the kitchen."),
    Request("light", "打开卧室的灯。"),
    Request("", "你好，很高兴认识你！"),
)


def fault_of(request: Request, calls: Sequence[ToolCall]) -> str:
    """What is wrong with the calls made for a request; empty where they are right.

    >>> call = ToolCall(id="1", name="light", arguments='{"room": "kitchen", "on": false}')
    >>> fault_of(Request("light", "…"), [call]), fault_of(Request("", "…"), [call])
    ('', 'called light, and no tool was needed')
    """
    if not request.wanted:
        return f"called {calls[0].name}, and no tool was needed" if calls else ""
    if not calls:
        return "no tool was called"
    for call in calls:
        if call.name != request.wanted:
            return f"called {call.name}, not {request.wanted}"
        try:
            msgspec.json.decode(call.arguments, type=ARGUMENTS[call.name])
        except (msgspec.DecodeError, UnicodeError) as error:
            return f"the arguments of {call.name} do not fit: {error}"
    return ""
