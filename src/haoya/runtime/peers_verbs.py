# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner can ask about other nodes, with a daemon or from the files alone."""

import binascii
import contextlib
import hashlib
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from haoya.core.errors import ConfigError
from haoya.runtime.home import Home
from haoya.runtime.peers import Peers
from haoya.runtime.peers_settings import PeersSettings
from haoya.runtime.runs import Row
from haoya.runtime.settings import Settings


class PeerVerbs:
    """The verbs `peers_invite`, `peers_list` and `peers_remove`.

    `address` is where the listener is now, empty where it is not open; `reason` says why.
    """

    def __init__(
        self, peers: Peers, settings: Settings, home: Home, *, address: str = "", reason: str = ""
    ) -> None:
        self._peers = peers
        self._settings = settings
        self._home = home
        self._address = address
        self._reason = reason

    def invite(self, given: Mapping[str, Any], at: float) -> Row:
        """A new token, and all that the other node must be told."""
        name, models = str(given["name"]), tuple(map(str, given["models"]))
        lent = [key for key, part in self._settings.models.items() if part.use != "peer"]
        unknown = [model for model in models if model not in lent]
        if unknown or not models:
            said = f"there is no model {unknown[0]!r} to lend" if unknown else "no model is named"
            there = ", ".join(lent) or "none"
            raise ConfigError(f"{said}; there are: {there}", cure="name one of them")
        return {
            "name": name,
            "models": list(models),
            "token": self._peers.invite(name, models, at),
            "address": reachable(self._address or _address(self._settings.peers)),
            "fingerprint": _fingerprint(self._settings.peers, self._home),
            "listens": bool(self._settings.peers.listen),
        }

    def list(self) -> Row:
        """The nodes, and where they find us."""
        return {
            "address": reachable(self._address or _address(self._settings.peers)),
            "open": bool(self._address),
            "reason": self._reason,
            "fingerprint": _fingerprint(self._settings.peers, self._home),
            "peers": [
                {
                    "name": peer.name,
                    "models": [*peer.models],
                    "at": peer.at,
                    **msgspec.to_builtins(self._peers.figures(peer.name)),
                }
                for peer in self._peers.all()
            ],
        }

    def remove(self, given: Mapping[str, Any]) -> Row:
        """Let a node in no more, and hang up on it."""
        name = str(given["name"])
        self._peers.remove(name)
        return {"name": name}


def _address(settings: PeersSettings) -> str:
    """Where the listener will be, empty where the settings want none."""
    secured = "https" if settings.cert and settings.key else "http"
    return f"{secured}://{settings.listen}" if settings.listen else ""


def reachable(address: str) -> str:
    """The address as others write it: a listener on every address is found under our name.

    >>> reachable("https://192.168.1.5:8643")
    'https://192.168.1.5:8643'
    """
    for everywhere in ("//0.0.0.0:", "//[::]:"):
        if everywhere in address:
            return address.replace(everywhere, f"//{socket.gethostname()}:")
    return address


def _fingerprint(settings: PeersSettings, home: Home) -> str:
    return fingerprint(home.folder / settings.cert) if settings.cert else ""


def fingerprint(certificate: Path) -> str:
    """The SHA-256 (hex) of the first certificate in a PEM file, empty where it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        text = certificate.read_text("ascii")
        found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)
        if found:
            return hashlib.sha256(_der(found[0])).hexdigest()
    return ""


def _der(pem: str) -> bytes:
    return binascii.a2b_base64("".join(pem.splitlines()[1:-1]))
