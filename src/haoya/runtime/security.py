# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner has loosened, left open or could close: findings with stable ids.

Nothing here judges by guesswork: each finding rests on a setting, a file's mode or a fact of the
machine, which its message names. docs/security/findings.md lists them all.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Literal

from haoya.core.errors import ConfigError
from haoya.policy.judge import DEFAULTS
from haoya.runtime.devices import Device, Devices
from haoya.runtime.doctor import permissions
from haoya.runtime.home import Home
from haoya.runtime.peers_settings import is_loopback
from haoya.runtime.secrets import plain_secrets
from haoya.runtime.settings import Finding, Settings, Table

STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}

IDS = (
    *("permissions-open", "secret-plain", "secret-environment", "running-as-root"),
    *("access-open", "verdict-loose", "guest-may", "api-exposed", "peers-exposed"),
    *("devices-manage", "devices-broken", "leave-anywhere", "model-unencrypted"),
)
"""Every finding there is, by id."""


def security_findings(home: Home, settings: Settings) -> list[Finding]:
    """What stands open in this home, the gravest first."""
    order = {"error": 0, "warning": 1, "info": 2}
    found = [*permissions(home), *plain_secrets(settings), *_found(home, settings)]
    return sorted(found, key=lambda finding: order[finding.severity])


def _found(home: Home, settings: Settings) -> Iterator[Finding]:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield _finding(
            *("running-as-root", "info", "haoya"),
            "haoya runs as root: whoever breaks in owns the machine",
            "run it as a user of its own",
        )
    yield from _devices(home)
    yield from _access(settings)
    yield from _verdicts(settings)
    yield from _listeners(settings)
    yield from _models(settings)
    yield from _environment(settings)


def _devices(home: Home) -> Iterator[Finding]:
    try:
        devices: Sequence[Device] = Devices(home.devices).all()
    except ConfigError as error:
        yield _finding("devices-broken", "error", "api", str(error), error.cure)
        return
    for device in devices:
        if "manage" in device.scopes:
            yield _finding(
                *("devices-manage", "info", "api"),
                f"the token of {device.name!r} opens every verb, new tokens among them",
                f"`haoya devices add {device.name} --scope …` with less",
            )


def _access(settings: Settings) -> Iterator[Finding]:
    for name, part in settings.channels.items():
        if part.access.mode == "open":
            yield _finding(
                *("access-open", "warning", f"channels.{name}"),
                f'[channels.{name}] access = "open" lets everybody on that network speak to it',
                'set access = "pairing", or list the ids that may',
            )


def _verdicts(settings: Settings) -> Iterator[Finding]:
    for cell, decision in sorted(settings.policy.verdicts.items()):
        if STRICTNESS[decision] >= STRICTNESS[DEFAULTS[cell]]:
            continue
        guest = cell.startswith("guest.")
        yield _finding(
            "guest-may" if guest else "verdict-loose",
            "warning",
            "policy",
            f"[policy] verdicts: {cell} = {decision!r} is looser than the usual "
            f"{DEFAULTS[cell]!r}" + (", and a guest is anybody" if guest else ""),
            f"remove {cell} from verdicts",
        )


def _listeners(settings: Settings) -> Iterator[Finding]:
    if not is_loopback(settings.api.host):
        yield _finding(
            *("api-exposed", "info", "api"),
            f"other machines can reach the API at {settings.api.host}:{settings.api.port} "
            "(TLS 1.3, enrolled devices only)",
            'set host = "127.0.0.1" in [api] if none has to',
        )
    peers = settings.peers
    if peers.listen and not is_loopback(peers.host):
        yield _finding(
            *("peers-exposed", "info", "peers"),
            f"other machines can reach {peers.listen} (TLS 1.3, invited nodes only)",
            "remove `listen` from [peers] if none has to",
        )


def _models(settings: Settings) -> Iterator[Finding]:
    leave = settings.policy.leave
    for name in settings.agent.models:
        part, frame = settings.models.get(name), settings.frames.get(name)
        if part is None or frame is None:
            continue
        place = frame.place_of(part.table)
        if place == "outside" and not leave:
            yield _finding(
                *("leave-anywhere", "info", f"models.{name}"),
                f"[models.{name}] thinks outside, and no rule says which words must stay",
                'add a rule, such as leave = { "CHANNEL:ID" = "here" } in [policy]',
            )
        url = str(part.table.get("base_url", ""))
        if place != "here" and url.startswith("http://"):
            yield _finding(
                *("model-unencrypted", "warning", f"models.{name}"),
                f"[models.{name}] sends words to {url} without encryption",
                "use https://, or a tunnel to this machine",
            )


def _environment(settings: Settings) -> Iterator[Finding]:
    groups = {"channels": settings.channels, "models": settings.models, "tools": settings.tools}
    for group, parts in groups.items():
        for name, part in parts.items():
            for key in sorted(_from_environment(part.table)):
                yield _finding(
                    *("secret-environment", "info", f"{group}.{name}"),
                    f"[{group}.{name}] takes {key} from the environment, so whatever starts haoya "
                    "holds it in the clear",
                    "keep it with `haoya secrets set NAME`, and write secret:NAME",
                )


def _from_environment(table: Table) -> set[str]:
    return {key for key, value in table.items() if str(value).startswith("env:")}


def _finding(
    id: str,
    severity: Literal["error", "warning", "info"],
    section: str,
    message: str,
    cure: str,
) -> Finding:
    return Finding(id=id, severity=severity, section=section, message=message, cure=cure)
