# SPDX-License-Identifier: AGPL-3.0-or-later
"""Is it alive, is it ready: for supervisors, load balancers and people."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import haoya
from haoya.api.auth import beyond
from haoya.api.replies import reply
from haoya.api.window import window_of
from haoya.runtime.house import DOOR, House


class Readiness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether messages can be taken. `parts` (the state of each by name), the ids of
    `findings` and the true reason are
    told to those who are signed in; to others the reason is always the same."""

    ready: bool
    reason: str
    parts: dict[str, str] = {}
    findings: tuple[str, ...] = ()


async def healthz(_: Request) -> Response:
    """200 as long as the event loop turns."""
    return reply({"ok": True, "version": haoya.__version__})


async def readyz(request: Request) -> Response:
    """200 where messages can be stored and answered, 503 where not."""
    house = window_of(request).house
    reason = unready_reason(house)
    known = beyond(request.scope["state"].get("known"), "metrics") is None
    readiness = Readiness(
        ready=not reason,
        reason=reason if known or not reason else "not ready",
        parts={key: part.state for key, part in house.board.health.items()} if known else {},
        findings=tuple(sorted({f.id for f in house.board.all_findings()})) if known else (),
    )
    return reply(readiness, 503 if reason else 200)


def unready_reason(house: House) -> str:
    """Why messages cannot be taken at the moment; empty where they can."""
    if trouble := house.trouble():
        return trouble
    if not house.ready.is_set():
        return "haoya is starting"
    door = house.board.part(f"channels.{DOOR}")
    return "" if door.state == "open" else f"the local channel is {door.state}: {door.reason}"
