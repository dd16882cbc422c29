// SPDX-License-Identifier: AGPL-3.0-or-later
// The page's line to haoya: small JSON requests, and one long response of server-sent events.

const SILENT_MS = 40_000; // The server gives a sign every 15 s; past this the line is dead.
const REQUEST_MS = 40_000;
const HIDDEN_MS = 60_000; // Browsers allow six connections per server: a hidden tab lets go of its own.

/** An answer that is an error. `status` 0 where no answer came at all. */
export class Fault extends Error {
  constructor(status, message, cure = "") {
    super(message);
    this.status = status;
    this.cure = cure;
  }

  /** Whether trying again later makes sense. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Send JSON, get JSON; throws `Fault`. */
export async function ask(method, path, body) {
  let response;
  let given = {};
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    given = await response.json();
  } catch (error) {
    if (!response || response.ok) throw new Fault(0, String(error?.message ?? error));
  }
  if (!response.ok) {
    const { message = response.statusText, cure = "" } = given.error ?? {};
    throw new Fault(response.status, message, cure);
  }
  return given;
}

/**
 * Follow a room for ever. `after()` tells from which line on; `on(name, data, id)` takes each
 * event, `lost()` each loss of the line. Returns when signed out.
 */
export async function follow(room, after, on, lost) {
  let wait = 500;
  for (;;) {
    await seen();
    try {
      await listen(room, after(), (...event) => {
        wait = 500;
        on(...event);
      });
    } catch (error) {
      if (error.status === 401) return;
    }
    if (document.hidden) continue; // It was let go on purpose.
    lost();
    await Promise.race([pause(wait * (0.5 + Math.random() / 2)), once(window, "online")]);
    wait = Math.min(wait * 2, 8000);
  }
}

async function listen(room, after, on) {
  const line = new AbortController();
  let dead = setTimeout(() => line.abort(), SILENT_MS);
  let unseen;
  const look = () => {
    clearTimeout(unseen);
    if (document.hidden) unseen = setTimeout(() => line.abort(), HIDDEN_MS);
  };
  look();
  document.addEventListener("visibilitychange", look);
  try {
    const path = `api/events?room=${encodeURIComponent(room)}&after=${after}`;
    const response = await fetch(path, { signal: line.signal, cache: "no-store" });
    if (!response.ok) throw new Fault(response.status, response.statusText);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(dead);
      dead = setTimeout(() => line.abort(), SILENT_MS);
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) tell(event, on);
    }
  } finally {
    clearTimeout(dead);
    clearTimeout(unseen);
    document.removeEventListener("visibilitychange", look);
    line.abort();
  }
}

function tell(event, on) {
  let name = "";
  let data = "null";
  let id = 0;
  for (const field of event.split("\n")) {
    if (field.startsWith("event: ")) name = field.slice(7);
    else if (field.startsWith("data: ")) data = field.slice(6);
    else if (field.startsWith("id: ")) id = Number(field.slice(4));
  }
  on(name, JSON.parse(data), id);
}

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

function once(target, name) {
  return new Promise((done) => target.addEventListener(name, done, { once: true }));
}

function seen() {
  return document.hidden ? once(document, "visibilitychange") : Promise.resolve();
}
