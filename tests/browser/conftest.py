# SPDX-License-Identifier: AGPL-3.0-or-later
"""A real Chromium before a real daemon. Where there is no Chromium these tests are skipped."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.api.daemon import MODEL, Daemon, ModelServer

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
SECONDS = 15


def chromium() -> str:
    """The browser to use: `HAOYA_CHROMIUM`, else the system's."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("HAOYA_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    if not found:
        pytest.skip("there is no Chromium here; install it, or set HAOYA_CHROMIUM to its path")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    """One browser for a file of tests: while Playwright runs, its event loop occupies this
    thread, and no test elsewhere could run one."""
    path = chromium()
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.close()


@pytest.fixture
def model(model_server: ModelServer) -> ModelServer:
    model_server.control(reset=True)
    return model_server


@pytest.fixture
def daemon(
    browser: "playwright.Browser", model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    settings = '[agent]\ntools = ["clock", "memory", "message"]\n'
    settings += '[policy]\nverdicts = { "owner.send" = "ask" }\n'
    settings += MODEL.format(port=model.port)
    daemon = Daemon(tmp_path_factory.mktemp("home"), settings).ready()
    yield daemon
    daemon.stop()


Visit = Callable[..., "playwright.Page"]


@pytest.fixture
def visit(browser: "playwright.Browser", daemon: Daemon) -> Iterator[Visit]:
    """Open the page in a fresh profile, signed in unless `link` says otherwise.

    Whatever the page or its console complains about fails the test at its end.
    """
    contexts: list[playwright.BrowserContext] = []
    complaints: list[str] = []

    def complain(message: "playwright.ConsoleMessage") -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    def visit(link: str | None = None, **options: object) -> "playwright.Page":
        context = browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(SECONDS * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", complain)
        page.on("dialog", lambda dialog: complaints.append(f"a dialog opened: {dialog.message}"))
        page.goto(f"{daemon.url}/#k={daemon.new_link()}" if link is None else link)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
