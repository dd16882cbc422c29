# SPDX-License-Identifier: AGPL-3.0-or-later
"""Colours, languages, sizes, and access by keyboard and screen reader."""

import pytest

from tests.api.daemon import Daemon
from tests.browser.conftest import Visit, playwright

expect = playwright.expect

CONTRAST = """
(selectors) => {
  const read = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = read(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  return Object.fromEntries(selectors.map((selector) => {
    const element = document.querySelector(selector);
    const [a, b] = [light(read(getComputedStyle(element).color)), light(behind(element))];
    return [selector, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  }));
}
"""

BACKGROUND = "getComputedStyle(document.body).backgroundColor"
RICH = "# Title\n\nSome `code`, a [link](https://example.org).\n\n```py\nx = 1\n```\n\n> quoted\n"


def rich(page) -> None:  # pyright: ignore
    page.locator("#words").fill(RICH)
    page.keyboard.press("Enter")
    expect(page.locator("figure.code")).to_be_visible()
    expect(page.locator(".draft")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(daemon: Daemon, visit: Visit, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    rich(page)
    page.locator("#words").fill("x")
    selectors = [
        *("h1", "#state-words", "#language", ".message[data-who=me] .words", ".foot"),
        *(".message[data-who=haoya] p", ".words a", ".words p code", ".words blockquote"),
        *("figcaption", ".copy", "pre code", "#words", "#send", ".small"),
    ]
    ratios = page.evaluate(CONTRAST, selectors)
    assert {name: round(r, 2) for name, r in ratios.items() if r < 4.5} == {}, "WCAG 2.2, 1.4.3"


def test_the_colours_follow_the_system_and_the_choice_is_kept(daemon: Daemon, visit: Visit) -> None:
    page = visit(color_scheme="dark")
    dark = page.evaluate(BACKGROUND)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(BACKGROUND)
    assert dark != light
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(BACKGROUND) == dark
    page.reload(wait_until="commit")
    page.wait_for_selector("body")
    assert page.evaluate(BACKGROUND) == dark
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(BACKGROUND) == light


def test_the_language_follows_the_browser_and_the_choice_is_kept(
    daemon: Daemon, visit: Visit
) -> None:
    page = visit(locale="zh-CN")
    expect(page.locator("#state")).to_have_text("已连接")
    expect(page.locator("#words")).to_have_attribute("placeholder", "写点什么")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.get_by_role("button", name="Switch to English").click()
    expect(page.locator("#state")).to_have_text("Connected")
    page.reload()
    expect(page.locator("#state")).to_have_text("Connected")
    assert page.evaluate("document.documentElement.lang") == "en"


def test_both_languages_have_the_same_words(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    words = page.evaluate("import('/words.mjs').then((words) => words.WORDS)")
    assert words["en"].keys() == words["zh"].keys()
    used = page.evaluate(
        "[...document.querySelectorAll('[data-say],[data-hint],[data-label]')]"
        ".flatMap((e) => [e.dataset.say, e.dataset.hint, e.dataset.label]).filter(Boolean)"
    )
    assert set(used) <= words["en"].keys()


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_nothing_is_wider_than_the_screen(daemon: Daemon, visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 700})
    wide = "x" * 300 + "\n\n```\n" + "y" * 300 + "\n```\n\n| a | b |\n|---|---|\n| " + "z" * 300
    page.locator("#words").fill(wide)
    page.keyboard.press("Enter")
    expect(page.locator("figure.code")).to_be_visible()
    expect(page.locator(".draft")).to_have_count(0)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate("document.getElementById('talk').scrollWidth") <= width
    box = page.locator("#send").bounding_box()
    assert box
    assert box["x"] + box["width"] <= width
    assert min(box["width"], box["height"]) >= 40, "too small for a finger"


def test_everything_has_a_name_and_can_be_reached_by_keyboard(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    rich(page)
    for role in ("button", "textbox", "link"):
        for one in page.get_by_role(role).all():
            named = one.get_attribute("aria-label") or one.inner_text() or one.get_attribute("id")
            assert named, one.evaluate("(e) => e.outerHTML")
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.locator("#words").fill("by keyboard")
    page.locator("#words").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#send")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".message[data-who=me]")).to_have_count(2)
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def test_an_idle_page_asks_for_nothing(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    expect(page.locator("#state")).to_have_text("Connected")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)
    assert asked == []


def test_nothing_is_fetched_from_elsewhere(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    rich(page)
    assert {
        url.partition(
            "/",
        )[0]
        for url in asked
    } == {"http:"}
    assert all(url.startswith(f"{daemon.url}/") for url in asked)
