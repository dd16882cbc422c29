// SPDX-License-Identifier: AGPL-3.0-or-later
// What was typed and is not known to have arrived. It outlives a reload, and is sent again under
// the same id, which haoya takes once.

import { ask } from "./wire.mjs";

const KEY = "haoya-unsent";
const AGAIN_MS = 3000;

export class Unsent {
  /** `changed(id)` is called when something about a message is new, `out()` when signed out. */
  constructor(room, changed, out) {
    Object.assign(this, { room, changed, out });
    this.sending = false;
    this.waiting = this.#kept();
  }

  get(id) {
    return this.waiting.find((one) => one.id === id);
  }

  add(text) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const one = { id, text, at: Date.now() / 1000 };
    this.waiting.push(one);
    this.#keep();
    return one;
  }

  /** It has arrived. */
  settle(id) {
    const before = this.waiting.length;
    this.waiting = this.waiting.filter((one) => one.id !== id);
    if (this.waiting.length === before) return;
    this.#keep();
    this.changed(id);
  }

  /** Send what waits, in order, until all has arrived or the line is gone. */
  async deliver() {
    if (this.sending) return;
    this.sending = true;
    clearTimeout(this.again);
    for (let one; (one = this.waiting.find((each) => !each.failed)); ) {
      this.changed(one.id);
      try {
        await ask("POST", "api/say", { room: this.room, text: one.text, id: one.id });
        this.settle(one.id);
      } catch (fault) {
        if (fault.status === 401) this.out();
        else if (!fault.passing) one.failed = fault.message;
        this.#keep();
        if (!one.failed) {
          this.again = setTimeout(() => this.deliver(), AGAIN_MS);
          break;
        }
        this.changed(one.id);
      }
    }
    this.sending = false;
    for (const one of this.waiting) this.changed(one.id);
  }

  #kept() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
      return kept.map(({ id, text, at }) => ({ id, text, at }));
    } catch {
      return [];
    }
  }

  #keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(this.waiting));
    } catch { /* Full or switched off: it lives as long as the page. */ }
  }
}
