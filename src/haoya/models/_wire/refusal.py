# SPDX-License-Identifier: AGPL-3.0-or-later
"""What it means when a model server does not answer, in words for the owner.

Only what the owner alone can change is `Rejected`: the key, the model's name, the address, an
unpaid bill. A request that was refused for what is in it (too long, a picture it cannot read, words
it will not hear) is `Unready` with the trouble `request`: another model may take it, and no
stranger's message may park the model.
"""

from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime

import msgspec

from haoya.core.errors import HaoyaError, Rejected, Trouble, Unready
from haoya.core.tool import Line

MAX_WORDS = 200
_ECHO = 16  # so many characters in a row from the prompt are a quotation
_CONTEXT_CODES = ("context_length_exceeded", "exceed_context_size_error")
_CONTEXT_WORDS = ("context length", "context size", "context window", "maximum context", "too long")
_UNPAID_CODES = ("insufficient_quota", "billing_error", "billing_hard_limit_reached")
_UNPAID_WORDS = ("credit balance", "insufficient balance")
_CONTENT_WORDS = ("moderation", "flagged", "content policy", "content_filter", "usage policies")

_TROUBLES: dict[int, Trouble] = {
    408: "timeout",
    413: "request",
    425: "overloaded",
    429: "throttled",
    498: "overloaded",  # Groq: capacity exceeded
    503: "overloaded",
    504: "timeout",
    522: "timeout",  # Cloudflare's names for what lies behind it
    524: "timeout",
    529: "overloaded",  # Anthropic
}
_STATUS_OF = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "billing_error": 402,
    "insufficient_quota": 402,
    "not_found_error": 404,
    "request_too_large": 413,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
    "overloaded": 529,
    "timeout_error": 504,
}
"""What an error inside of an answer would have been as HTTP status, by its code or type; else
500."""


class Complaint(msgspec.Struct, frozen=True):
    """What a server said against us, cleaned for showing."""

    words: str
    code: str = ""

    @property
    def status(self) -> int:
        """The HTTP status this complaint would have had as an answer of its own."""
        return int(self.code) if self.code.isdigit() else _STATUS_OF.get(self.code, 500)


class _Error(msgspec.Struct):
    message: str | None = None
    code: str | int | float | None = None
    type: str | None = None


class _Refused(_Error):
    error: _Error | str | None = None
    detail: msgspec.Raw = msgspec.Raw(b"")


def complaint(body: bytes, key: str, lines: Sequence[Line]) -> Complaint:
    """The words of an error body, without the key and without anything of the prompt."""
    words, code = _parsed(body)
    words = " ".join(words.split())
    if key:
        words = words.replace(key, "***")
    if _quotes(words, lines):
        words = "(its words repeat the prompt and are left out)"
    return Complaint(words[:MAX_WORDS], code)


def refusal(server: str, model: str, status: int, said: Complaint) -> HaoyaError:
    """The error for an answer with `status`, where no list of models is needed to tell."""
    words, low = f": {said.words}" if said.words else "", said.words.lower()
    if status in (401, 403) and not any(x in low for x in _CONTENT_WORDS):
        return Rejected(f"{server} refuses the key{words}; correct api_key")
    if status == 402 or said.code in _UNPAID_CODES or any(x in low for x in _UNPAID_WORDS):
        return Rejected(f"{server} wants to be paid{words}; see your account there")
    if said.code in _CONTEXT_CODES or any(x in low for x in _CONTEXT_WORDS):
        text = f"the prompt is too long for {model} at {server}{words}; lower context_tokens"
        return Unready(text, trouble="request")
    if 300 <= status < 400:
        return Rejected(f"{server} has moved (HTTP {status}); correct base_url")
    if status == 429:
        return Unready(f"{server} asks for a pause (HTTP 429){words}", trouble="throttled")
    trouble = _TROUBLES.get(status, "broken" if status >= 500 else "request")
    if trouble == "overloaded":
        return Unready(f"{server} is overloaded (HTTP {status}){words}", trouble=trouble)
    if status >= 500 or trouble == "timeout":
        text = f"{server} is in trouble (HTTP {status}){words}; look at its log"
        return Unready(text, trouble=trouble)
    text = f"{server} refuses this request to {model} (HTTP {status}){words}"
    return Unready(text, trouble=trouble)


def unknown_model(status: int, said: Complaint) -> bool:
    """Whether this may be about the model's name (or the path, which the cure shows as well)."""
    words = said.words.lower()
    told = "model" in words and ("not found" in words or "not exist" in words)
    return status == 404 or said.code == "model_not_found" or (status == 400 and told)


def pause(headers: Mapping[str, str], clock: Callable[[], float]) -> float | None:
    """Seconds to wait as the headers ask, in any of the three spellings in use."""
    try:
        if wait := headers.get("retry-after-ms"):
            return max(0.0, float(wait) / 1000)
        if not (wait := headers.get("retry-after", "")):
            return None
        if wait.replace(".", "", 1).isdigit():
            return float(wait)
        return max(0.0, parsedate_to_datetime(wait).timestamp() - clock())
    except ValueError:
        return None


def _parsed(body: bytes) -> tuple[str, str]:
    """Message and code of an error body, or of the value of its `error` alone."""
    try:
        refused = msgspec.json.decode(body, type=_Refused | str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", ""  # a proxy's page; its status says enough
    if isinstance(refused, str) or isinstance(refused.error, str):
        return refused if isinstance(refused, str) else str(refused.error), ""
    error = refused.error or refused
    words = error.message or bytes(refused.detail).decode("utf-8", "replace")
    return words, str(error.code or error.type or "")


def _quotes(words: str, lines: Sequence[Line]) -> bool:
    """Whether `words` show a stretch of the prompt, or a whole short line of it."""
    texts = [line.text for line in lines]
    texts += [call.arguments for line in lines for call in line.calls]
    if any(4 <= len(text) < _ECHO and text in words for text in texts):
        return True
    windows = [words[i : i + _ECHO] for i in range(len(words) - _ECHO + 1)]
    return any(window in text for text in texts if len(text) >= _ECHO for window in windows)
