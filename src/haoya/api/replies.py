# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes over the wire: JSON bodies both ways, and one form of error for all endpoints."""

import math
from typing import TypeVar

import msgspec
import pydantic
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from haoya.core.errors import ConfigError, HaoyaError, Rejected, Trouble, Unready

BODY_BYTES = 32_000_000
"""The largest body that is read; the largest that Anthropic's API takes."""

RETRY_SECONDS = 2
"""What a client is told to wait where nobody asked for a certain time."""

_TYPES = {
    401: "authentication_error",
    429: "rate_limit_error",
    502: "server_error",
    503: "service_unavailable_error",
    504: "server_error",
}

TROUBLES: dict[Trouble, tuple[int, str]] = {
    "throttled": (429, "rate_limit_exceeded"),
    "timeout": (504, "timeout"),
    "request": (400, "refused_by_model"),
}
"""Status and code for what is the matter with a model; all else is 503, come again."""

Body = TypeVar("Body", bound=pydantic.BaseModel)


class Refusal(Exception):
    """A request that is answered with an error: the HTTP status and what to say."""

    def __init__(self, status: int, message: str, *, code: str = "", param: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An error as OpenAI's API shapes it (message, type, param, code), with our `cure` and the
    `kind` of our error tree beside it."""

    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    cure: str = ""
    kind: str = ""


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    data = msgspec.json.encode(body)
    return Response(data, status, headers, "application/json")


def fault_of(error: HaoyaError | Refusal) -> tuple[int, Fault]:
    """The status and the words for an error of ours."""
    if isinstance(error, Refusal):
        kind = _TYPES.get(error.status, "invalid_request_error")
        return error.status, Fault(
            message=str(error), type=kind, param=error.param or None, code=error.code or None
        )
    kind = type(error).__name__
    if isinstance(error, Unready):
        status, code = TROUBLES.get(error.trouble, (503, "unready"))
        fault = Fault(message=str(error), code=code, kind=kind)
        return status, msgspec.structs.replace(fault, type=_TYPES.get(status, fault.type))
    if isinstance(error, Rejected):  # the owner's key for a server, not the client's for us
        return 502, Fault(message=str(error), type=_TYPES[502], code="model_refused", kind=kind)
    cure = error.cure if isinstance(error, ConfigError) else ""
    return 400, Fault(message=str(error), cure=cure, kind=kind)


def failed(status: int, fault: Fault, retry_after: float | None = None) -> Response:
    """An error as a response; 503 and 429 say when to come back."""
    return reply({"error": fault}, status, again(status, retry_after))


def again(status: int, retry_after: float | None = None) -> dict[str, str]:
    """The header that says when to come back, where the status is one that passes."""
    if status not in (429, 503, 529):
        return {}
    return {"Retry-After": str(math.ceil(retry_after or RETRY_SECONDS))}


async def on_refusal(_: Request, error: Exception) -> Response:
    """Starlette's handler for `Refusal`."""
    assert isinstance(error, Refusal)
    return failed(*fault_of(error))


async def on_house_error(_: Request, error: Exception) -> Response:
    """Starlette's handler for the errors of the house."""
    assert isinstance(error, HaoyaError)
    status, fault = fault_of(error)
    return failed(status, fault, error.retry_after if isinstance(error, Unready) else None)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for unknown paths and methods."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message, code = f"there is nothing at {request.method} {request.url.path}", "not_found"
    else:
        message, code = error.detail, "method_not_allowed"
    return failed(error.status_code, Fault(message=message, code=code))


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body; 413 past `BODY_BYTES`, without having read more than that."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not declared.isdigit() or int(declared) <= BODY_BYTES:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            return message.get("body", b"")
        data = bytearray()
        while message["type"] == "http.request" and len(data) <= BODY_BYTES:
            data += message.get("body", b"")
            if not message.get("more_body"):
                return bytes(data)
            message = await receive()
        if len(data) <= BODY_BYTES:
            raise Refusal(400, "the body ended early")
    raise Refusal(413, f"the body is larger than {BODY_BYTES} bytes", code="body_too_large")


async def send_json(
    send: Send, body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> None:
    """A JSON response without the framework around it."""
    raw = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    raw += [
        (name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()
    ]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def parsed(request: Request, shape: type[Body]) -> Body:
    """The JSON body as `shape`; 400 naming every fault."""
    raw = await read_body(request.scope, request.receive)
    try:
        return shape.model_validate_json(raw)
    except pydantic.ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        if any(fault["type"] == "json_invalid" for fault in faults):
            words = "We could not parse the JSON body of your request."
            raise Refusal(400, f"{words} {faults[0]['msg']}.", code="invalid_json") from error
        said = "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults)
        param = _place(faults[0]["loc"])
        raise Refusal(400, said, code="invalid_value", param=param) from error


def _place(location: tuple[int | str, ...]) -> str:
    """Where in a body something is; the names of union branches are left out."""
    branches = ("str", "list[ContentPart]")
    return ".".join(str(step) for step in location if step not in branches) or "body"
