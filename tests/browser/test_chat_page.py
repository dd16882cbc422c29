# SPDX-License-Identifier: AGPL-3.0-or-later
"""The chat page as a person meets it, in a real browser."""

import re
import signal

import pytest

from tests.api.daemon import Daemon, ModelServer, until
from tests.browser.conftest import Visit, playwright

expect = playwright.expect
SAID = ".message[data-who=haoya]:not(.draft, .working) .words"
MINE = ".message[data-who=me] .words"


def say(page, text: str) -> None:  # pyright: ignore
    page.locator("#words").fill(text)
    page.keyboard.press("Enter")


def test_a_link_lets_in_without_a_typed_character_and_vanishes(
    daemon: Daemon, visit: Visit
) -> None:
    page = visit()
    expect(page.locator("#composer")).to_be_visible()
    expect(page.locator("#state")).to_have_text("Connected")
    assert page.url == f"{daemon.url}/"
    assert page.evaluate("document.cookie") == "", "a script can read the session"


def test_a_link_works_once(daemon: Daemon, visit: Visit) -> None:
    link = f"{daemon.url}/#k={daemon.new_link()}"
    expect(visit(link).locator("#composer")).to_be_visible()
    second = visit(link)
    expect(second.locator("#door")).to_be_visible()
    expect(second.locator("#door-why")).to_have_text("This link was used already or is too old.")
    expect(second.locator("#composer")).to_be_hidden()


def test_without_a_session_both_languages_say_what_to_do(daemon: Daemon, visit: Visit) -> None:
    page = visit(daemon.url)
    door = page.locator("#door")
    expect(door).to_be_visible()
    expect(door).to_contain_text("haoya open")
    expect(door).to_contain_text("Open this page from your terminal")
    expect(door).to_contain_text("请从终端打开本页")
    page.goto(f"{daemon.url}/#k={daemon.new_link()}")
    expect(page.locator("#composer")).to_be_visible()


def test_a_reload_keeps_the_session_and_the_conversation(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    say(page, "remember this line")
    expect(page.locator(SAID)).to_have_text("heard: remember this line")
    page.reload()
    expect(page.locator(MINE)).to_have_text("remember this line")
    expect(page.locator(SAID)).to_have_text("heard: remember this line")


@pytest.mark.parametrize("text", ["Good morning, haoya", "你好，今天怎么样？🌏"])
def test_words_go_out_and_an_answer_comes(daemon: Daemon, visit: Visit, text: str) -> None:
    page = visit()
    say(page, text)
    expect(page.locator(MINE)).to_have_text(text)
    expect(page.locator(SAID)).to_have_text(f"heard: {text}")
    expect(page.locator("#words")).to_have_value("")
    expect(page.locator("#state")).to_have_text("Connected")
    expect(page.locator("#spoken")).to_have_text(f"haoya: heard: {text}")


def test_an_answer_is_seen_growing_and_ends_whole(
    daemon: Daemon, model: ModelServer, visit: Visit
) -> None:
    model.control(chunk_delay=0.05)
    page = visit()
    say(page, "long 60")
    expect(page.locator("#state")).to_contain_text("is thinking")
    sizes: set[int] = set()
    until(
        lambda: (
            sizes.add(len(page.locator(".draft .words").inner_text())) or len(sizes) > 3
            if page.locator(".draft .words").count()
            else False
        )
    )
    expect(page.locator(SAID)).to_contain_text("word60")
    expect(page.locator(".draft, .working")).to_have_count(0)
    expect(page.locator(".message")).to_have_count(2)


def test_a_second_tab_shows_the_same_conversation(daemon: Daemon, visit: Visit) -> None:
    one = visit()
    two = one.context.new_page()
    two.goto(daemon.url)
    expect(two.locator("#state")).to_have_text("Connected")
    say(one, "seen in both")
    for page in (one, two):
        expect(page.locator(SAID)).to_have_text("heard: seen in both")
        expect(page.locator(".message")).to_have_count(2)


def test_enter_in_an_input_method_chooses_a_word_and_sends_nothing(
    daemon: Daemon, visit: Visit
) -> None:
    page = visit()
    page.locator("#words").click()
    line = page.context.new_cdp_session(page)
    line.send("Input.imeSetComposition", {"text": "nihao", "selectionStart": 5, "selectionEnd": 5})
    page.keyboard.press("Enter")
    assert page.locator(MINE).count() == 0
    line.send("Input.insertText", {"text": "你好"})
    expect(page.locator("#words")).to_have_value(re.compile("你好"))
    page.evaluate(
        "document.getElementById('words').dispatchEvent(new KeyboardEvent('keydown',"
        "{key: 'Enter', keyCode: 229, bubbles: true, cancelable: true}))"
    )
    assert page.locator(MINE).count() == 0
    page.keyboard.press("Enter")
    expect(page.locator(MINE)).to_contain_text("你好")


def test_shift_and_enter_start_a_new_line(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    page.locator("#words").click()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(page.locator("#words")).to_have_value("one\ntwo")
    page.keyboard.press("Enter")
    expect(page.locator(MINE)).to_have_text("one\ntwo", use_inner_text=True)


def test_a_question_is_answered_by_a_button_and_shown_decided_everywhere(
    daemon: Daemon, visit: Visit
) -> None:
    one, two = visit(), visit()
    say(one, 'tool message {"to": "local//elsewhere", "text": "hi"}')
    expect(one.locator("#state")).to_contain_text("waits for your answer")
    expect(two.get_by_role("button", name="Yes")).to_be_enabled()
    one.get_by_role("button", name="Yes").click()
    expect(one.locator(SAID).last).to_contain_text("done:")
    for page in (one, two):
        expect(page.get_by_role("button", name="No")).to_be_disabled()
        expect(page.locator(".choice.chosen")).to_have_text("Yes")
    one.reload()
    expect(one.get_by_role("button", name="Yes")).to_be_disabled()


def test_a_question_shows_its_effect_as_it_is(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    say(page, 'tool message {"to": "local//x", "text": "[safe](https://evil.example/) **b**"}')
    expect(page.locator(".choice")).to_have_count(3)
    expect(page.locator(SAID)).to_contain_text("[safe](https://evil.example/) **b**")
    assert page.locator(f"{SAID} a, {SAID} strong").count() == 0


def test_what_is_typed_while_the_line_is_down_arrives_once(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    say(page, "before")
    expect(page.locator(SAID)).to_have_count(1)
    daemon.stop(signal.SIGKILL)
    expect(page.locator("#state")).to_contain_text("reconnecting")
    say(page, "typed in the dark")
    expect(page.locator(".pending .foot")).to_contain_text("Not sent yet")
    page.context.set_offline(True)
    daemon.start()
    page.context.set_offline(False)
    expect(page.locator(SAID).last).to_have_text("heard: typed in the dark")
    expect(page.locator(".pending")).to_have_count(0)
    page.reload()
    expect(page.locator(MINE)).to_have_count(2)
    expect(page.locator(SAID)).to_have_count(2)


def test_what_was_not_sent_survives_a_reload(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    expect(page.locator("#state")).to_have_text("Connected")
    page.route("**/api/say", lambda route: route.abort())
    say(page, "kept in the browser")
    expect(page.locator(".pending")).to_have_count(1)
    page.unroute("**/api/say")
    page.reload()
    expect(page.locator(SAID)).to_have_text("heard: kept in the browser")
    expect(page.locator(MINE)).to_have_count(1)


def test_only_the_last_messages_are_shown_until_asked(daemon: Daemon, visit: Visit) -> None:
    with daemon.owner() as owner:
        for number in range(30):
            owner.post("/api/say", json={"text": f"line {number}"})
            last = f"heard: line {number}"

            def answered(last: str = last) -> bool:
                messages = owner.get("/api/history?room=main").json()["messages"]
                return messages[-1]["text"] == last

            until(answered)
    page = visit()
    expect(page.locator(".message")).to_have_count(50)
    expect(page.locator(SAID).last).to_be_in_viewport()
    page.get_by_role("button", name="Earlier messages").click()
    expect(page.locator(".message")).to_have_count(60)
    expect(page.locator(MINE).first).to_have_text("line 0")
    expect(page.locator("#earlier")).to_be_hidden()


def test_a_tab_that_is_hidden_reads_on_when_it_is_seen_again(daemon: Daemon, visit: Visit) -> None:
    page = visit()
    expect(page.locator("#state")).to_have_text("Connected")
    page.context.set_offline(True)
    with daemon.owner() as owner:
        owner.post("/api/say", json={"text": "meanwhile"})
    page.context.set_offline(False)
    expect(page.locator(SAID)).to_have_text("heard: meanwhile")
    expect(page.locator(".message")).to_have_count(2)
