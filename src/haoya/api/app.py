# SPDX-License-Identifier: AGPL-3.0-or-later
"""All ways into the window, in one table, each with the scope it needs."""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from haoya.api.answering import answering
from haoya.api.auth import Guard, Needed, beyond
from haoya.api.bare import model, models
from haoya.api.chat import call, events, say
from haoya.api.embeddings import counting, embedding
from haoya.api.entry import sign_in, sign_out, signed_in
from haoya.api.health import healthz, readyz
from haoya.api.history import history
from haoya.api.metrics import metrics
from haoya.api.pages import FILES, page
from haoya.api.replies import Refusal, failed, fault_of, on_house_error, on_http_error, on_refusal
from haoya.api.window import Window
from haoya.api.wires.chat import CHAT
from haoya.api.wires.messages import MESSAGES
from haoya.api.wires.responses import RESPONSES
from haoya.core.errors import HaoyaError

Endpoint = Callable[[Request], Awaitable[Response | ASGIApp]]


class Way(msgspec.Struct, frozen=True):
    """A method and path, who may go it, and where it leads. A public path has no parameters."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: Needed
    endpoint: Endpoint


class ShortWay(msgspec.Struct, frozen=True):
    """A way past the framework: an exact path, and what makes the ASGI endpoint of a window."""

    method: Literal["POST"]
    path: str
    scope: Needed
    made: Callable[[Window], ASGIApp]


WAYS = (
    *(Way("GET", path, "public", page(name)) for path, name in FILES.items()),
    Way("GET", "/healthz", "public", healthz),
    Way("GET", "/readyz", "public", readyz),
    Way("POST", "/api/session", "public", sign_in),
    Way("GET", "/api/session", "session", signed_in),
    Way("DELETE", "/api/session", "session", sign_out),
    Way("GET", "/metrics", "metrics", metrics),
    Way("GET", "/v1/models", "models", models),
    Way("GET", "/v1/models/{name:path}", "models", model),
    Way("GET", "/api/history", "chat", history),
    Way("GET", "/api/events", "chat", events),
    Way("POST", "/api/say", "chat", say),
    Way("POST", "/api/call/{verb}", "manage", call),
)

SHORT_WAYS = (
    ShortWay("POST", "/v1/chat/completions", "models", lambda w: answering(w, CHAT)),
    ShortWay("POST", "/v1/responses", "models", lambda w: answering(w, RESPONSES)),
    ShortWay("POST", "/v1/messages", "models", lambda w: answering(w, MESSAGES)),
    ShortWay("POST", "/v1/messages/count_tokens", "models", counting),
    ShortWay("POST", "/v1/embeddings", "models", embedding),
)
"""What programs ask a thousand times; Starlette's own machinery costs as much as all the rest."""


def app_of(window: Window) -> ASGIApp:
    """The whole application: the guard, and behind it the routes."""
    app = Starlette(
        routes=[Route(way.path, _scoped(way), methods=[way.method]) for way in WAYS],
        exception_handlers={
            Refusal: on_refusal,
            HaoyaError: on_house_error,
            HTTPException: on_http_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.window = window
    short = {way.path: (way, way.made(window)) for way in SHORT_WAYS}

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        found = short.get(scope["path"]) if scope["method"] == "POST" else None
        if found is None:
            await app(scope, receive, send)
        elif refusal := beyond(scope["state"]["known"], found[0].scope):
            await failed(*fault_of(refusal))(scope, receive, send)
        else:
            await found[1](scope, receive, send)

    return Guard(routed, window, public_ways())


def _scoped(way: Way) -> Endpoint:
    """The endpoint, for those only whose token opens it."""

    async def endpoint(request: Request) -> Response | ASGIApp:
        if refusal := beyond(request.scope["state"]["known"], way.scope):
            raise refusal
        return await way.endpoint(request)

    return endpoint


def public_ways() -> frozenset[tuple[str, str]]:
    """The (method, path) pairs that need no key. HEAD goes wherever GET goes."""
    ways = {(way.method, way.path) for way in WAYS if way.scope == "public"}
    return frozenset(ways | {("HEAD", path) for method, path in ways if method == "GET"})
