# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner can ask about devices, with a daemon or from the files alone."""

from collections.abc import Mapping
from typing import Any

from haoya.runtime.devices import PER_MINUTE, Devices
from haoya.runtime.runs import Row


class DeviceVerbs:
    """The verbs `devices_add`, `devices_list` and `devices_remove`. `url` is where the API is."""

    def __init__(self, devices: Devices, url: str) -> None:
        self._devices, self._url = devices, url

    def add(self, given: Mapping[str, Any], at: float) -> Row:
        """A new token, and where it is good for."""
        name, scopes = str(given["name"]), [str(scope) for scope in given["scopes"]]
        per_minute = int(given.get("per_minute") or PER_MINUTE)
        token = self._devices.enrol(name, scopes, per_minute, at)
        return {"name": name, "scopes": scopes, "token": token, "url": self._url}

    def list(self) -> Row:
        """All devices."""
        rows = [
            {
                "name": device.name,
                "scopes": [*device.scopes],
                "per_minute": device.per_minute,
                "at": device.at,
            }
            for device in self._devices.all()
        ]
        return {"devices": rows, "url": self._url}

    def remove(self, given: Mapping[str, Any]) -> Row:
        """Let one in no more."""
        name = str(given["name"])
        self._devices.remove(name)
        return {"name": name}
