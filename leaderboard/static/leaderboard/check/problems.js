// Problems of an archive: sentences from the server's table, filled, grouped and capped as evaluation/archive/problems.py does.
"use strict";

let RULES = null;  // what evaluation.archive.browser_rules gives

/** The archive as a whole, or one file of it, is not taken: the key of a sentence, and what stands in it. */
class Refused extends Error {
  constructor(key, values = {}, file = "") {
    super(key);
    Object.assign(this, { key, values, file });
  }
}

/** Something that this page cannot judge; the server can. `message` says what, for people. */
class Unsure extends Error {}

function sentence(key, values) {
  const fill = (_, name) => {
    if (name.startsWith("_")) return RULES.parts[name].replace(/\{(\w+)\}/g, fill);
    const value = values[name];
    if (value === undefined) throw new Error(`The sentence ${key} lacks ${name}.`);
    return typeof value === "number" ? value.toLocaleString("en-US") : String(value);
  };
  return RULES.sentences[key].replace(/\{(\w+)\}/g, fill);
}

/** A problem in `file`, a name as a string of bytes ("" for the archive). */
function problem(key, file = "", values = {}) {
  const name = printable(file);
  return {
    code: key.split(".")[0], file: name, message: sentence(key, values), count: 1, files: name ? [name] : [],
  };
}

/** One problem for all files with the same code and message, in order of first appearance. */
function grouped(problems) {
  const groups = new Map();
  for (const each of problems) {
    const key = `${each.code} ${each.message}`;
    const group = groups.get(key);
    if (!group) {
      groups.set(key, { ...each });
    } else {
      group.count += each.count;
      group.files = [...group.files, ...each.files].slice(0, RULES.most_named);
    }
  }
  return [...groups.values()];
}

/** At most `most_problems`, each kind represented, the last counting those left out. */
function capped(problems) {
  if (problems.length <= RULES.most_problems) return problems;
  const isFirst = problems.map((each, i) => problems.findIndex((other) => other.code === each.code) === i);
  const order = [...problems.keys()];
  const first = [...order.filter((i) => isFirst[i]), ...order.filter((i) => !isFirst[i])];
  const shown = new Set(first.slice(0, RULES.most_problems - 1));
  const left = {};
  let total = 0;
  for (const i of order.filter((each) => !shown.has(each))) {
    left[problems[i].code] = (left[problems[i].code] || 0) + problems[i].count;
    total += problems[i].count;
  }
  const kinds = Object.keys(left).sort().map((code) => `${code} ${left[code]}`).join(", ");
  const rest = problem(total === 1 ? "more_problems.one" : "more_problems", "", { total, kinds });
  return [...order.filter((i) => shown.has(i)).map((i) => problems[i]), rest];
}

/** An untrusted name, a string of bytes, as plain ASCII without characters that are special to a page. */
function printable(name, longest = 80) {
  const hex = (value, width) => value.toString(16).padStart(width, "0");
  let text = "";
  for (const character of decoded(name, (byte) => `\\x${hex(byte, 2)}`)) {
    const code = character.codePointAt(0);
    if (code < 0x80) text += character;
    else if (code < 0x100) text += `\\x${hex(code, 2)}`;
    else text += code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
  }
  text = text.replace(/[^ -~]|[<>&"'{}%`]/g, "?");
  return text.length <= longest ? text : `${text.slice(0, longest - 3)}...`;
}

/** A string of bytes decoded as UTF-8; `other` says what stands for a byte that is none. */
function decoded(name, other) {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const bytes = Uint8Array.from(name, (character) => character.charCodeAt(0));
  let text = "";
  for (let i = 0; i < bytes.length;) {
    const length = bytes[i] < 0x80 ? 1 : bytes[i] < 0xe0 ? 2 : bytes[i] < 0xf0 ? 3 : 4;
    try {
      text += strict.decode(bytes.subarray(i, i + length));
      i += length;
    } catch {
      text += other(bytes[i]);
      i += 1;
    }
  }
  return text;
}
