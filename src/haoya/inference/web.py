# SPDX-License-Identifier: AGPL-3.0-or-later
"""Asking a registry of models: redirects watched over, refusals put into words."""

import contextlib
import time
from collections.abc import Callable, Generator
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import httpx2

from haoya.core.errors import ConfigError, Unready
from haoya.core.message import Word

REDIRECTS = 5
ANSWER_BYTES = 64 << 20
"""No registry's answer that is to be understood is longer."""
TIMEOUT = httpx2.Timeout(30, connect=15)
ATTEMPTS = 6
"""How often something is asked for in a row without getting any further."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524})
_MOVED = frozenset({301, 302, 303, 307, 308})


class Hub(Word, frozen=True, kw_only=True):
    """A registry: its address without a slash at the end, a token or none, the word before the
    colon in references to it, the setting that its token stands in, its page for a
    model, and the cookie that bears the token where it is none of the usual kind."""

    endpoint: str
    token: str = ""
    prefix: str = ""
    setting: str = ""
    page: str = ""
    cookie: str = ""

    @property
    def host(self) -> str:
        """As one speaks of it."""
        return urlsplit(self.endpoint).netloc


class Web:
    """One client for all registries. `wait` sleeps, `told` hears why before each waiting."""

    def __init__(
        self,
        client: httpx2.Client,
        *,
        wait: Callable[[float], None] = time.sleep,
        told: Callable[[str, float], None] = lambda reason, seconds: None,
    ) -> None:
        self.client = client
        self.wait = wait
        self.told = told

    def read(
        self, hub: Hub, url: str, what: str, accept: str = "application/json"
    ) -> tuple[bytes, str]:
        """The body at `url` and the address of the next page, if it names one; several attempts.

        Raises as `open` does, `Unready` only where no attempt helped.
        """
        attempt = 0
        while True:
            try:
                with self.open(hub, url, what, {"Accept": accept}) as answer:
                    body = bytearray()
                    for piece in answer.iter_bytes():
                        body += piece
                        if len(body) > ANSWER_BYTES:
                            raise ConfigError(
                                f"the answer of {hub.host} has no end", cure="check the endpoint"
                            )
                    following = answer.links.get("next", {}).get("url", "")
                    return bytes(body), urljoin(url, following) if following else ""
            except (httpx2.TransportError, Unready) as error:
                attempt += 1
                self.pause(hub, attempt, error)

    def pause(self, hub: Hub, attempt: int, error: Exception) -> None:
        """Wait before the next attempt, longer each time, or as long as the registry asked.

        Raises `Unready` where there have been enough.
        """
        reason = str(error) or type(error).__name__
        if attempt >= ATTEMPTS:
            raise Unready(
                f"{hub.host} cannot be reached: {reason}; run the same command again, "
                "what is there already is kept",
                trouble="unreachable",
            ) from error
        asked = error.retry_after if isinstance(error, Unready) else None
        seconds = asked if asked is not None else FIRST_WAIT * 2 ** (attempt - 1)
        seconds = min(max(seconds, 0), LONGEST_WAIT)
        self.told(reason, seconds)
        self.wait(seconds)

    @contextlib.contextmanager
    def open(
        self, hub: Hub, url: str, what: str, headers: dict[str, str]
    ) -> Generator[httpx2.Response]:
        """The answer to one request for (a file of) the model `what`, its body not read yet.

        Redirects are followed; the token goes to the registry's own address alone. Raises
        `Unready` for a passing failure and `ConfigError` for a refusal, but for 416 (there are
        no such bytes), which is an answer.
        """
        for _ in range(REDIRECTS + 1):
            self._check(hub, url)
            sent = dict(headers)
            if hub.token and _origin(url) == _origin(hub.endpoint):
                bearer = (
                    ("Cookie", f"{hub.cookie}=") if hub.cookie else ("Authorization", "Bearer ")
                )
                sent[bearer[0]] = bearer[1] + hub.token
            with self.client.stream(
                "GET", url, headers=sent, timeout=TIMEOUT, follow_redirects=False
            ) as answer:
                if answer.status_code in _MOVED and "location" in answer.headers:
                    url = urljoin(url, answer.headers["location"])
                    continue
                _judge(answer, hub, what)
                yield answer
                return
        raise ConfigError(
            f"{hub.host} sends us from one address to the next", cure="check the endpoint"
        )

    def _check(self, hub: Hub, url: str) -> None:
        """What travels unencrypted only if the owner's endpoint does, and only on its host."""
        to, home = urlsplit(url), urlsplit(hub.endpoint)
        if to.scheme == "https" and to.hostname:
            return
        if to.scheme == home.scheme == "http" and to.hostname == home.hostname:
            return
        raise ConfigError(
            f"{hub.host} sends us to {to.scheme}://{to.netloc}, which is not encrypted",
            cure="use another endpoint",
        )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def _judge(answer: httpx2.Response, hub: Hub, what: str) -> None:
    status = answer.status_code
    if answer.is_success or status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    if status in _AGAIN:
        after = answer.headers.get("retry-after", "")
        raise Unready(f"status {status}", retry_after=float(after) if after.isdigit() else None)
    raise _refusal(status, hub, what)


def _refusal(status: int, hub: Hub, what: str) -> ConfigError:
    """What a refusal means and what to do about it."""
    page = hub.page.format(repo=what.partition("@")[0].partition(":")[0])
    keep = f"run `haoya secrets set {hub.prefix}-token`"
    use = f'write {hub.setting} = "secret:{hub.prefix}-token" in [downloads]'
    if status == HTTPStatus.UNAUTHORIZED and not hub.token:
        # Hugging Face answers 401, not 404, for what does not exist or is not for everybody.
        return ConfigError(
            f"{hub.host} has no {what} for everybody: no such model, or it is private or gated",
            cure=f"check the name; else agree to its terms at {page}, {keep} and {use}",
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return ConfigError(
            f"{hub.host} does not accept our token", cure=f"make a new one there, then {keep}"
        )
    if status == HTTPStatus.FORBIDDEN:
        more = "" if hub.token else f", {keep} and {use}"
        return ConfigError(
            f"{hub.host} does not let us have {what} (403): its owner asks for consent first",
            cure=f"agree to its terms at {page}{more}",
        )
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return ConfigError(f"there is no {what} at {hub.host}", cure=f"look for it at {page}")
    return ConfigError(
        f"{hub.host} refuses {what} with status {status}",
        cure=f"try {page} in a browser, or another endpoint in [downloads]",
    )
