# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya devices`: other devices and programs of the owner's that may use the API."""

from typing import Annotated

from cyclopts import Parameter

from haoya.cli.answers import DeviceList, DeviceToken
from haoya.cli.house import ask_anyhow, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import OK, table
from haoya.cli.words import say

DeviceName = Annotated[str, Parameter(help=say("option.device"))]


def add(
    name: DeviceName,
    /,
    *,
    scope: Annotated[list[str], Parameter(help=say("option.scope"))],
    per_minute: Annotated[int, Parameter(help=say("option.pace"))] = 600,
    view: Lent,
) -> int:
    """Let a device use some of the API; prints its token, this once."""
    result = ask_anyhow(view, "devices_add", name=name, scopes=scope, per_minute=per_minute)
    if view.json:
        view.document(result)
        return OK
    given = shaped(result, DeviceToken)
    view.print(say("devices.added", name=given.name, scopes=", ".join(given.scopes)), "")
    view.print(f"  {given.token}", "", say("devices.use", url=given.url or URL))
    return OK


URL = "http://127.0.0.1:8642"
"""Shown where the API is not open."""


def list_devices(*, view: Lent) -> int:
    """Show the devices that may use the API, and what is open to them."""
    result = ask_anyhow(view, "devices_list")
    if view.json:
        view.document(result)
        return OK
    found = shaped(result, DeviceList).devices
    rows = [
        (one.name, ", ".join(one.scopes), say("devices.pace", count=one.per_minute))
        for one in found
    ]
    view.print(*table(rows) or [say("devices.none")])
    return OK


def remove(name: DeviceName, /, *, view: Lent) -> int:
    """Let a device in no more, from its next request on."""
    result = ask_anyhow(view, "devices_remove", name=name)
    if view.json:
        view.document(result)
    else:
        view.print(say("devices.removed", name=name))
    return OK
