// SPDX-License-Identifier: AGPL-3.0-or-later
// What the page says, in English and Chinese. Both tables have the same keys; a test compares.

export const WORDS = {
  en: {
    earlier: "Earlier messages",
    newest: "Newest",
    welcome: "Gladly. What shall we do?",
    "welcome-more": "Ask anything, or start with one of these.",
    "idea-1": "What can you do for me?",
    "idea-2": "What time is it in Tokyo?",
    "idea-3": "Remember that I take my tea without sugar.",
    label: "Message",
    hint: "Write a message",
    send: "Send",
    keys: "Enter sends, Shift + Enter starts a new line",
    language: "中文",
    "language-label": "切换到中文",
    theme: "Light or dark",
    you: "You",
    connecting: "Connecting…",
    connected: "Connected",
    reconnecting: "Connection lost, reconnecting…",
    starting: "haoya is starting…",
    trouble: "haoya cannot take messages: {reason}",
    thinking: "{name} is thinking…",
    tool: "{name} is using {tool}…",
    asking: "{name} waits for your answer",
    "signed-out": "Signed out",
    sending: "Sending…",
    unsent: "Not sent yet; it goes out as soon as the connection is back",
    failed: "Could not be sent: {reason}",
    copy: "Copy",
    copied: "Copied",
    code: "Code",
    decided: "Decided",
    today: "Today",
    yesterday: "Yesterday",
    "link-used": "This link was used already or is too old.",
  },
  zh: {
    earlier: "更早的消息",
    newest: "最新消息",
    welcome: "想做点什么？",
    "welcome-more": "随便问，或者从下面选一个开始。",
    "idea-1": "你能帮我做什么？",
    "idea-2": "现在东京几点？",
    "idea-3": "记住：我喝茶不加糖。",
    label: "消息",
    hint: "写点什么",
    send: "发送",
    keys: "Enter 发送，Shift + Enter 换行",
    language: "EN",
    "language-label": "Switch to English",
    theme: "浅色或深色",
    you: "你",
    connecting: "正在连接…",
    connected: "已连接",
    reconnecting: "连接中断，正在重连…",
    starting: "haoya 正在启动…",
    trouble: "haoya 暂时无法接收消息：{reason}",
    thinking: "{name} 正在思考…",
    tool: "{name} 正在使用 {tool}…",
    asking: "{name} 在等你的回答",
    "signed-out": "未登录",
    sending: "发送中…",
    unsent: "尚未发出，连接恢复后会自动发送",
    failed: "发送失败：{reason}",
    copy: "复制",
    copied: "已复制",
    code: "代码",
    decided: "已处理",
    today: "今天",
    yesterday: "昨天",
    "link-used": "这个链接已经用过或已过期。",
  },
};

let language = chosen() ?? (/^zh\b/i.test(navigator.language) ? "zh" : "en");

/** The language in use: "en" or "zh". */
export function current() {
  return language;
}

/** Use the other language from now on. */
export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  try { localStorage.setItem("haoya-language", language); } catch { /* storage is switched off */ }
}

/** The words for a key, with `{holes}` filled. */
export function say(key, holes = {}) {
  return (WORDS[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => holes[name] ?? "");
}

/** Write the page's fixed words in the language in use. */
export function translate(root) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const one of root.querySelectorAll("[data-say]")) one.textContent = say(one.dataset.say);
  for (const one of root.querySelectorAll("[data-hint]")) one.placeholder = say(one.dataset.hint);
  for (const one of root.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", say(one.dataset.label));
    one.title = say(one.dataset.label);
  }
}

/** A time of day, and a day, as people here write them. */
export function clock(seconds) {
  return new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit" })
    .format(seconds * 1000);
}

export function day(seconds) {
  const then = new Date(seconds * 1000);
  const days = Math.round((midnight(new Date()) - midnight(then)) / 86400000);
  if (days === 0) return say("today");
  if (days === 1) return say("yesterday");
  const year = then.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  const form = { weekday: "long", month: "long", day: "numeric", year };
  return new Intl.DateTimeFormat(locale(), form).format(then);
}

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

function locale() {
  return language === "zh" ? "zh-CN" : navigator.language.startsWith("en") ? navigator.language : "en";
}

function chosen() {
  try {
    const kept = localStorage.getItem("haoya-language");
    return kept in WORDS ? kept : null;
  } catch {
    return null;
  }
}
