// SPDX-License-Identifier: AGPL-3.0-or-later
// Markdown as models write it, built as DOM nodes. Words only ever become text nodes: nothing a
// model or a web page says can turn into markup, a script or an address other than http(s).

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const INTERRUPTS = /^\s*([-*+]|1[.)])\s+\S/; // "2020. A year" in the middle of a paragraph is no list.
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const TABLE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/;
const DEEPEST = 6;

/** The nodes for a text. `copying(button, text)` is called for the button of each code block. */
export function render(text, copying = () => {}) {
  const fragment = document.createDocumentFragment();
  fragment.append(...blocks(text.replace(/\r\n?/g, "\n").split("\n"), copying, 0));
  return fragment;
}

/** The address of a link if it leads to the web, else null. */
export function webAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

function blocks(lines, copying, depth) {
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    let found;
    if (!line.trim()) at += 1;
    else if ((found = FENCE.exec(line))) at = fence(lines, at, found, copying, made);
    else if ((found = HEADING.exec(line))) {
      made.push(node(`h${Math.min(found[1].length + 2, 6)}`, inline(found[2])));
      at += 1;
    } else if (RULE.test(line)) {
      made.push(node("hr"));
      at += 1;
    } else if (QUOTE.test(line) && depth < DEEPEST) at = quote(lines, at, copying, depth, made);
    else if (ITEM.test(line) && depth < DEEPEST) at = list(lines, at, copying, depth, made);
    else if (line.includes("|") && TABLE.test(lines[at + 1] ?? "")) at = table(lines, at, made);
    else at = paragraph(lines, at, depth, made);
  }
  return made;
}

function fence(lines, start, [, marks, language], copying, made) {
  const inside = [];
  let at = start + 1;
  const closing = new RegExp(`^ {0,3}${marks[0]}{${marks.length},}\\s*$`);
  while (at < lines.length && !closing.test(lines[at])) inside.push(lines[at++]);
  const text = inside.join("\n");
  const button = node("button");
  button.type = "button";
  button.className = "copy";
  copying(button, text);
  const head = node("figcaption", [node("span", [language]), button]);
  const body = node("pre", [node("code", [text])]);
  body.tabIndex = 0; // Wide code scrolls; the keyboard must reach it.
  const figure = node("figure", [head, body]);
  figure.className = "code";
  made.push(figure);
  return at + 1;
}

function quote(lines, start, copying, depth, made) {
  const inside = [];
  let at = start;
  for (let found; at < lines.length && (found = QUOTE.exec(lines[at])); at += 1) inside.push(found[1]);
  made.push(node("blockquote", blocks(inside, copying, depth + 1)));
  return at;
}

function list(lines, start, copying, depth, made) {
  const [, margin, mark] = ITEM.exec(lines[start]);
  const ordered = /\d/.test(mark);
  const items = [];
  let at = start;
  while (at < lines.length) {
    const found = ITEM.exec(lines[at]);
    if (found && found[1].length <= margin.length + 1) {
      if (/\d/.test(found[2]) !== ordered) break;
      items.push([found[3]]);
    } else if (/^\s+\S/.test(lines[at]) && items.length) {
      items.at(-1).push(lines[at].replace(new RegExp(`^\\s{1,${margin.length + 4}}`), (indent) =>
        " ".repeat(Math.max(0, indent.length - margin.length - 2))));
    } else if (!lines[at].trim() && continues(lines, at + 1)) items.at(-1).push("");
    else break;
    at += 1;
  }
  const whole = node(ordered ? "ol" : "ul", items.map((item) => entry(item, copying, depth)));
  if (ordered && parseInt(mark, 10) !== 1) whole.start = parseInt(mark, 10);
  made.push(whole);
  return at;
}

function continues(lines, at) {
  const next = lines[at] ?? "";
  return /^\s+\S/.test(next) || ITEM.test(next);
}

function entry(lines, copying, depth) {
  const [first, ...more] = blocks(lines, copying, depth + 1);
  if (first?.tagName !== "P") return node("li", first ? [first, ...more] : []);
  return node("li", [...first.childNodes, ...more]);
}

function table(lines, start, made) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const head = cells(lines[start]);
  const rows = [];
  let at = start + 2;
  while (at < lines.length && lines[at].includes("|")) rows.push(cells(lines[at++]));
  const row = (kind, words) => node("tr", head.map((_, i) => node(kind, inline(words[i] ?? ""))));
  const whole = node("table", [
    node("thead", [row("th", head)]),
    node("tbody", rows.map((words) => row("td", words))),
  ]);
  const frame = node("div", [whole]);
  frame.className = "wide";
  frame.tabIndex = 0;
  made.push(frame);
  return at;
}

function paragraph(lines, start, depth, made) {
  let at = start + 1;
  const opens = (line) => FENCE.test(line) || HEADING.test(line) || QUOTE.test(line)
    || (INTERRUPTS.test(line) && depth < DEEPEST) || RULE.test(line);
  while (at < lines.length && lines[at].trim() && !opens(lines[at])) at += 1;
  const words = [];
  lines.slice(start, at).forEach((line, i) => {
    if (i) words.push(node("br"));
    words.push(...inline(line.trim()));
  });
  made.push(node("p", words));
  return at;
}

const PIECES = [
  // [pattern at this place, what it becomes]; the first that fits is taken.
  [/^\\([\\`*_{}[\]()#+\-.!~|>])/, (m) => [m[1]]],
  [/^(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)/, (m) => [node("code", [m[2].trim() || m[2]])]],
  [/^\*\*\*(?=[^\s*])([\s\S]{0,2000}?[^\s*])\*\*\*/,
    (m, depth) => [node("strong", [node("em", inline(m[1], depth))])]],
  [/^\*\*(?=\S)([\s\S]{0,2000}?\S)\*\*/, (m, depth) => [node("strong", inline(m[1], depth))]],
  [/^__(?=\S)([\s\S]{0,2000}?\S)__(?!\w)/, (m, depth) => [node("strong", inline(m[1], depth))]],
  [/^~~(?=\S)([\s\S]{0,2000}?\S)~~/, (m, depth) => [node("del", inline(m[1], depth))]],
  [/^\*(?=[^\s*])([\s\S]{0,2000}?[^\s*])\*(?!\*)/, (m, depth) => [node("em", inline(m[1], depth))]],
  [/^_(?=[^\s_])([\s\S]{0,2000}?[^\s_])_(?!\w)/, (m, depth) => [node("em", inline(m[1], depth))]],
  [/^!?\[([^\]\n]{0,1000})\]\(<?([^\s()<>]{1,2000}(?:\([^\s()<>]{0,200}\)[^\s()<>]{0,200})?)>?(?:\s+"[^"\n]{0,200}")?\)/,
    (m, depth) => link(m[2], inline(m[1] || m[2], depth)) ?? [m[0]]],
  [/^<?(https?:\/\/[^\s<>"'`，。；：！？、）】》”’]+[^\s<>"'`，。；：！？、）】》”’.,;:!?)\]}*_])>?/i,
    (m) => link(m[1], [m[1]]) ?? [m[0]]],
];
const STARTS = /[\\`*_~![<]|https?:\/\//gi;
const LONGEST = 4200; // Of a styled stretch; a star left alone must not cost a look at a whole book.

function inline(text, depth = 0) {
  const made = [];
  let from = 0;
  let plain = "";
  const starts = new RegExp(STARTS);
  for (let found; depth < DEEPEST && (found = starts.exec(text)); starts.lastIndex = from) {
    plain += text.slice(from, found.index);
    const inWord = found[0] === "_" && /\w$/.test(plain);
    const match = inWord ? null : firstOf(text.slice(found.index, found.index + LONGEST), depth);
    if (match) {
      made.push(...(plain ? [plain] : []), ...match.nodes);
      plain = "";
    } else plain += text[found.index];
    from = found.index + (match ? match.length : 1);
  }
  plain += text.slice(from);
  return plain ? [...made, plain] : made;
}

function firstOf(rest, depth) {
  for (const [pattern, make] of PIECES) {
    const match = pattern.exec(rest);
    if (match) return { nodes: make(match, depth + 1), length: match[0].length };
  }
  return null;
}

function link(address, words) {
  const href = webAddress(address);
  if (!href) return null;
  const made = node("a", words);
  made.href = href;
  made.target = "_blank";
  made.rel = "noopener noreferrer";
  return [made];
}

function node(name, inside = []) {
  const made = document.createElement(name);
  made.append(...inside);
  return made;
}
