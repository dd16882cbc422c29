# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing in and out: a one-time code for a session cookie."""

import pydantic
from starlette.requests import Request
from starlette.responses import Response

from haoya.api.auth import session_cookie
from haoya.api.replies import Refusal, parsed, reply
from haoya.api.session import SESSION_SECONDS, use_code
from haoya.api.window import window_of


class Code(pydantic.BaseModel):
    """The code from the address `haoya open` prints."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)

    code: str = pydantic.Field(min_length=1, max_length=200)


async def sign_in(request: Request) -> Response:
    """Take a one-time code and set the session cookie."""
    window = window_of(request)
    body = await parsed(request, Code)
    if not use_code(window.house.codes, body.code, window.house.clock()):
        text = "this link was used already or is too old; run `haoya open` for a new one"
        raise Refusal(401, text, code="invalid_code")
    response = reply({"ok": True})
    response.set_cookie(
        window.cookie,
        await window.sessions.open(),
        max_age=int(SESSION_SECONDS),
        path="/",
        httponly=True,
        secure=window.scheme == "https",
        samesite="strict",
    )
    return response


async def signed_in(request: Request) -> Response:
    """Whether the browser is signed in (whoever is not gets 401 before this runs)."""
    window = window_of(request)
    return reply({"ok": True, "agent": window.house.settings.agent.name, "owner": window.owner})


async def sign_out(request: Request) -> Response:
    """End the session."""
    window = window_of(request)
    await window.sessions.end(session_cookie(request.headers, window.cookie))
    response = reply({"ok": True})
    response.delete_cookie(window.cookie, path="/", httponly=True, samesite="strict")
    return response
