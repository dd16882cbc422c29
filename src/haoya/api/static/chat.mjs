// SPDX-License-Identifier: AGPL-3.0-or-later
// The chat page: signs in, shows the conversation, speaks. What is shown comes from haoya's
// journal; the page itself remembers only what has not arrived yet.

import { Unsent } from "./unsent.mjs";
import { View, element } from "./view.mjs";
import { ask, follow } from "./wire.mjs";
import { current, say, switchLanguage, translate } from "./words.mjs";

const ROOM = "main";
const BUSY_SILENCE_MS = 600_000; // A turn that tells nothing for so long is not shown as at work.

const $ = (id) => document.getElementById(id);
const input = $("words");

let agent = "haoya";
let after = 0;
let state = { key: "connecting", mood: "waiting", holes: {} };
let busyTimer;

const unsent = new Unsent(ROOM, (id) => view.mark(id), () => showDoor(""));
const view = new View(
  { talk: $("talk"), list: $("messages"), earlier: $("earlier"), newest: $("newest"), welcome: $("welcome") },
  { choose, note, name: () => agent },
);

start();

async function start() {
  paint();
  listen();
  const problem = await signIn();
  if (await enter()) await follow(ROOM, () => after, take, lost);
  showDoor(problem);
}

/** Trade the one-time code of the address for a session; returns why that failed, or "". */
async function signIn() {
  const code = /^#k=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return "";
  history.replaceState(null, "", location.pathname);
  try {
    await ask("POST", "api/session", { code });
    return "";
  } catch (fault) {
    return fault.status === 401 ? "link-used" : "";
  }
}

/** Show the conversation; false where nobody is signed in. */
async function enter() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      ({ agent } = await ask("GET", "api/session"));
      await load();
      return true;
    } catch (fault) {
      if (fault.status === 401) return false;
      lost();
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

async function load() {
  const page = await ask("GET", `api/history?room=${ROOM}`);
  after = page.after;
  $("name").textContent = document.title = agent;
  $("door").hidden = true;
  $("composer").hidden = false;
  $("earlier").hidden = !page.more;
  view.clear();
  $("welcome").hidden = false;
  for (const message of page.messages) view.place(message);
  for (const { id, text, at } of unsent.waiting) view.place({ id, who: "me", text, at });
  setBusy(page.busy ? "thinking" : "");
  view.toEnd();
  if (matchMedia("(hover: hover)").matches) input.focus();
}

function showDoor(problem) {
  $("door").hidden = false;
  $("composer").hidden = $("welcome").hidden = $("earlier").hidden = true;
  $("door-why").hidden = !problem;
  $("door-why").dataset.say = problem;
  $("door-why").textContent = problem && say(problem);
  view.clear();
  setState("signed-out", "waiting");
}

// What happens

function take(name, data, id) {
  after = Math.max(after, id);
  if (name === "message") hear(data);
  else if (name === "draft") view.draft(data);
  else if (name === "busy") setBusy(data.tool ? "tool" : "thinking", data);
  else if (name === "idle") setBusy("");
  else if (name === "asked") view.number(data.id, data.number);
  else if (name === "decided") view.decided(data.number, data.yes);
  else if (name === "state") opened(data);
}

function hear(message) {
  if (message.who === "me") unsent.settle(message.id);
  else {
    if (!message.answers.length) view.dropDraft(); // Words before a question; not an answer.
    setBusy(message.buttons.length ? "asking" : "");
    // Read out by screen readers once and whole, rather than while it grows.
    $("spoken").textContent = `${agent}: ${message.text.slice(0, 2000)}`;
  }
  view.place({ ...message, open: message.buttons.length > 0 });
  view.trim();
  view.grown();
}

function opened({ ready, reason }) {
  if (ready) {
    if (state.mood !== "busy") setState("connected", "good");
    unsent.deliver();
  } else if (reason === "closing") lost();
  else setState(reason ? "trouble" : "starting", reason ? "bad" : "waiting", { reason });
}

function lost() {
  setState("reconnecting", "waiting");
}

async function earlier() {
  $("earlier").disabled = true;
  try {
    const page = await ask("GET", `api/history?room=${ROOM}&before=${view.oldest}`);
    view.placeAbove(page.messages);
    $("earlier").hidden = !page.more;
  } catch { /* The button is still there. */ } finally {
    $("earlier").disabled = false;
  }
}

// Speaking

function speak(text) {
  const { id, at } = unsent.add(text);
  view.place({ id, who: "me", text, at });
  view.toEnd();
  unsent.deliver();
}

/** Why a message is still here alone. */
function note(id) {
  const one = unsent.get(id);
  if (!one) return "";
  if (one.failed) return say("failed", { reason: one.failed });
  return say(unsent.sending ? "sending" : "unsent");
}

async function choose(item, button) {
  const buttons = [...item.querySelectorAll(".choice")];
  const { value } = button.dataset;
  const [ruling] = value.split(" "); // behind it stands which question it is for
  const number = Number(item.dataset.ask);
  for (const one of buttons) one.disabled = true;
  button.classList.add("chosen");
  if (!number || !["yes", "no", "always"].includes(ruling)) return speak(value);
  try {
    await ask("POST", "api/call/decide", {
      number,
      yes: ruling !== "no",
      always: ruling === "always",
    });
  } catch (fault) {
    button.classList.remove("chosen");
    if (fault.passing) for (const one of buttons) one.disabled = false;
    else button.parentElement.append(element("span", "done", say("decided")));
  }
}

function submit(event) {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  input.value = "";
  grow();
  speak(text);
}

function grow() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
  $("send").disabled = !input.value.trim();
}

// How things are

/** What the agent is doing: a key of the words, "" for nothing. */
function setBusy(key, { tool = "" } = {}) {
  clearTimeout(busyTimer);
  if (key) busyTimer = setTimeout(() => setBusy(""), BUSY_SILENCE_MS);
  view.working(key && key !== "asking");
  if (key) setState(key, "busy", { tool });
  else if (state.mood === "busy") setState("connected", "good");
}

function setState(key, mood, holes = {}) {
  state = { key, mood, holes };
  $("state").dataset.mood = mood;
  $("state-words").textContent = say(key, { name: agent, ...holes });
}

/** Write all fixed words in the language in use. */
function paint() {
  translate(document);
  const button = $("language");
  button.textContent = say("language");
  button.setAttribute("aria-label", say("language-label"));
  button.lang = current() === "zh" ? "en" : "zh";
  $("ideas").replaceChildren(...["idea-1", "idea-2", "idea-3"].map(idea));
  setState(state.key, state.mood, state.holes);
  view.days();
}

function idea(key) {
  const item = element("li");
  const button = element("button", "pill", say(key));
  button.type = "button";
  button.addEventListener("click", () => {
    input.value = say(key);
    grow();
    input.focus();
  });
  item.append(button);
  return item;
}

function listen() {
  $("composer").addEventListener("submit", submit);
  $("earlier").addEventListener("click", earlier);
  $("theme").addEventListener("click", switchTheme);
  $("language").addEventListener("click", () => {
    switchLanguage();
    paint();
  });
  input.addEventListener("input", grow);
  input.addEventListener("keydown", (event) => {
    // While an input method composes, Enter chooses a word (229: Safari says it after the end).
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    submit(event);
  });
  window.addEventListener("online", () => unsent.deliver());
  window.addEventListener("hashchange", () => location.reload()); // A fresh link, in this very tab.
}

function switchTheme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  try { localStorage.setItem("haoya-theme", next); } catch { /* storage is switched off */ }
}
