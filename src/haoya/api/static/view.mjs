// SPDX-License-Identifier: AGPL-3.0-or-later
// The conversation as it is drawn. Who draws a message twice under one id changes the first.

import { render } from "./markdown.mjs";
import { clock, day, say } from "./words.mjs";

const MOST_SHOWN = 200; // Past this the oldest leave the page; "earlier" brings them back.
const FEWEST_KEPT = 100;
const NEAR_PX = 80;

export class View {
  /**
   * `choose(item, button)` is called when a choice is pressed; `note(id)` tells why a message is
   * still here alone ("" where it is not); `name()` is what the agent is called.
   */
  constructor({ talk, list, earlier, newest, welcome }, { choose, note, name }) {
    Object.assign(this, { talk, list, earlier, newest, welcome, choose, note, name });
    this.stuck = true;
    talk.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    newest.addEventListener("click", () => this.toEnd());
    const watch = new ResizeObserver(() => this.stuck && this.toEnd());
    watch.observe(talk);
    watch.observe(list);
  }

  clear() {
    this.list.replaceChildren();
  }

  find(id) {
    return this.list.querySelector(`[data-id="${CSS.escape(id)}"]`);
  }

  /** The number of the oldest message shown, 0 where there is none. */
  get oldest() {
    return Number(this.list.querySelector("[data-number]")?.dataset.number ?? 0);
  }

  /** Draw a message: over the one with its id, else before `before`, else at the end. */
  place(message, before = null) {
    const old = this.find(message.id);
    const item = old ?? element("li", "message");
    item.dataset.id = message.id;
    item.dataset.who = message.who;
    item.dataset.at = message.at;
    item.classList.remove("draft");
    if (message.number) item.dataset.number = message.number;
    const words = element("div", "words");
    if (message.markdown) words.append(render(message.text, copying));
    else words.textContent = message.text;
    words.classList.toggle("plain", !message.markdown);
    item.replaceChildren(element("p", "unseen", message.who === "me" ? say("you") : this.name()), words);
    if (message.buttons?.length) item.append(this.#choices(item, message));
    item.append(element("p", "foot"));
    this.mark(message.id, item);
    if (!old) this.list.insertBefore(item, before ?? this.list.querySelector(".draft, .working"));
    this.days();
    this.welcome.hidden = true;
  }

  /** Draw a page of older messages above all, without moving what is looked at. */
  placeAbove(messages) {
    const first = this.list.firstElementChild;
    const height = this.talk.scrollHeight;
    for (const message of messages) this.place(message, first);
    this.talk.scrollTop += this.talk.scrollHeight - height;
  }

  /** Write the time under a message, or why it is still here alone. */
  mark(id, item = this.find(id)) {
    if (!item) return;
    const note = this.note(id);
    const time = element("time", "", clock(Number(item.dataset.at)));
    time.dateTime = new Date(item.dataset.at * 1000).toISOString();
    item.classList.toggle("pending", Boolean(note));
    item.querySelector(".foot").replaceChildren(note || time);
  }

  /** Write each day above its first message. */
  days() {
    let last = "";
    for (const item of this.list.children) {
      if (!item.dataset.at) continue;
      const here = day(Number(item.dataset.at));
      if (here === last) delete item.dataset.day;
      else item.dataset.day = here;
      last = here;
    }
  }

  /** Show an answer as it grows; painted at most once a frame. */
  draft({ id, text, more }) {
    let item = this.list.querySelector(".draft");
    if (item?.dataset.id !== id) {
      if (this.find(id) && this.find(id) !== item) return; // The answer itself was quicker.
      this.dropDraft();
      item = element("li", "message draft");
      item.dataset.id = id;
      item.dataset.who = "haoya";
      item.append(element("div", "words"));
      this.working(false);
      this.list.append(item);
      this.welcome.hidden = true;
    }
    item.words = more ? (item.words ?? "") + text : text;
    item.painting ??= requestAnimationFrame(() => {
      item.painting = undefined;
      if (item.classList.contains("draft")) item.firstChild.replaceChildren(render(item.words, copying));
    });
  }

  dropDraft() {
    this.list.querySelector(".draft")?.remove();
  }

  /** Three dots where the answer will stand. */
  working(on) {
    const dots = this.list.querySelector(".working");
    if (!on || this.list.querySelector(".draft")) dots?.remove();
    else if (!dots) {
      const made = element("li", "message working");
      made.dataset.who = "haoya";
      made.setAttribute("aria-hidden", "true");
      made.append(element("span"), element("span"), element("span"));
      this.list.append(made);
    }
  }

  /** Keep the page small while nobody looks at what is far above. */
  trim() {
    if (!this.stuck || this.list.childElementCount <= MOST_SHOWN) return;
    while (this.list.childElementCount > FEWEST_KEPT) this.list.firstElementChild.remove();
    this.earlier.hidden = false;
    this.days();
  }

  toEnd() {
    this.stuck = true;
    this.talk.scrollTop = this.talk.scrollHeight;
    this.newest.hidden = true;
  }

  /** Something new stands at the end: show it, or say that it is there. */
  grown() {
    if (this.stuck) this.toEnd();
    else this.newest.hidden = false;
  }

  /** The journal's number of a question, by which it is decided. */
  number(id, number) {
    const item = this.find(id);
    if (item) item.dataset.ask = number;
  }

  /** A question is decided: no choice can be pressed any more. */
  decided(number, yes) {
    const item = this.list.querySelector(`[data-ask="${number}"]`);
    if (!item) return;
    const always = item.querySelector('.chosen[data-value^="always"]') !== null;
    const word = yes ? (always ? "always" : "yes") : "no";
    for (const button of item.querySelectorAll(".choice")) {
      button.disabled = true;
      button.classList.toggle("chosen", button.dataset.value.split(" ")[0] === word);
    }
  }

  #choices(item, message) {
    const made = element("div", "choices");
    item.dataset.ask = message.ask || item.dataset.ask || "";
    const open = message.open || message.ask > 0;
    for (const { label, value } of message.buttons) {
      const button = element("button", "choice", label);
      button.type = "button";
      button.disabled = !open;
      button.dataset.value = value;
      button.addEventListener("click", () => this.choose(item, button));
      made.append(button);
    }
    if (!open) made.append(element("span", "done", say("decided")));
    return made;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.talk;
    this.stuck = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (this.stuck) this.newest.hidden = true;
  }
}

/** An element with a class and words. */
export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text) made.textContent = text;
  return made;
}

function copying(button, text) {
  button.textContent = say("copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = say("copied");
    setTimeout(() => (button.textContent = say("copy")), 1500);
  });
}
