# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes over the wire: JSON bodies both ways, and one form of error for all endpoints."""

import math
from typing import TypeVar

import msgspec
import pydantic
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from haoya.core.errors import ConfigError, HaoyaError, Unready

BODY_BYTES = 10_000_000
"""The largest body that is read."""

RETRY_SECONDS = 2
"""What a client is told to wait where nobody asked for a certain time."""

_TYPES = {401: "authentication_error", 429: "rate_limit_error", 503: "service_unavailable_error"}

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


def fault_of(error: HaoyaError) -> tuple[int, Fault]:
    """The status and the words for an error of ours."""
    kind = type(error).__name__
    if isinstance(error, Unready):
        return 503, Fault(message=str(error), type=_TYPES[503], code="unready", kind=kind)
    cure = error.cure if isinstance(error, ConfigError) else ""
    return 400, Fault(message=str(error), cure=cure, kind=kind)


def failed(status: int, fault: Fault, retry_after: float | None = None) -> Response:
    """An error as a response; 503 and 429 say when to come back."""
    headers: dict[str, str] = {}
    if status in (429, 503):
        headers["Retry-After"] = str(math.ceil(retry_after or RETRY_SECONDS))
    return reply({"error": fault}, status, headers)


async def on_refusal(_: Request, error: Exception) -> Response:
    """Starlette's handler for `Refusal`."""
    assert isinstance(error, Refusal)
    fault = Fault(
        message=str(error),
        type=_TYPES.get(error.status, "invalid_request_error"),
        param=error.param or None,
        code=error.code or None,
    )
    return failed(error.status, fault)


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


async def read_body(request: Request) -> bytes:
    """The whole body; 413 past `BODY_BYTES`, without having read more than that."""
    declared = request.headers.get("content-length", "0")
    data = bytearray()
    if not declared.isdigit() or int(declared) <= BODY_BYTES:
        try:
            async for chunk in request.stream():
                data += chunk
                if len(data) > BODY_BYTES:
                    break
            else:
                return bytes(data)
        except ClientDisconnect as error:
            raise Refusal(400, "the body ended early") from error
    raise Refusal(413, f"the body is larger than {BODY_BYTES} bytes", code="body_too_large")


async def parsed(request: Request, shape: type[Body]) -> Body:
    """The JSON body as `shape`; 400 naming every fault."""
    raw = await read_body(request)
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
