// The submit page's check: what a chosen archive lacks, before a byte is sent. It never locks the button; the server decides.
"use strict";

const CHECK = JSON.parse(document.getElementById("check-rules").textContent);
const SILENCE_MS = 20_000;
const WHOLE = new Set(["too_large", "empty_file", "not_a_zip", "zip_damaged", "too_many_entries", "overlapping_entries"]);
const PLACE = new Set(["folder_in_archive", "unsafe_name"]);
const NAMES = new Set(["missing_file", "unexpected_file", "duplicate_file"]);

/** Check a file in a worker; the promise always keeps: what could not be found out is `unchecked`. */
function runCheck(file, spec, { onProgress = () => {}, signal } = {}) {
  return new Promise((resolve) => {
    let last = { problems: [], unchecked: [], found: 0, read: 0, faulty: 0 };
    let worker;
    let timer;
    const end = (verdict) => {
      clearTimeout(timer);
      worker?.terminate();
      resolve(verdict);
    };
    const giveUp = (reason) => end({ ...last, unchecked: [...last.unchecked, { file: "", reason }] });
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => giveUp("Checking took too long and was stopped."), SILENCE_MS);
    };
    try {
      worker = new Worker(CHECK.worker);
    } catch {
      giveUp("This browser cannot check archives.");
      return;
    }
    const cannotRun = () => giveUp("The check could not be run in this browser.");
    worker.onerror = (event) => {
      event.preventDefault();
      cannotRun();
    };
    worker.onmessage = ({ data }) => {
      if (data.failed) {
        cannotRun();
      } else if (data.verdict) {
        end(data.verdict);
      } else {
        last = data.progress;
        wait();
        onProgress(last);
      }
    };
    signal?.addEventListener("abort", () => end(null));
    wait();
    worker.postMessage({ file, spec, rules: CHECK.rules, scripts: CHECK.scripts, mostBytes: CHECK.most_bytes });
  });
}

/** The panel under the file field: a row for each question, the problems, and a summary that is read out. */
class CheckPanel {
  constructor(root) {
    this.root = root;
    this.rows = Object.fromEntries([...root.querySelectorAll("[data-check]")].map((row) => [row.dataset.check, row]));
    this.problems = root.querySelector("[data-check-problems]");
    this.summary = root.querySelector("[data-check-summary]");
  }

  hide() {
    this.root.hidden = true;
  }

  start() {
    this.root.hidden = false;
    this.root.dataset.state = "running";
    for (const name of Object.keys(this.rows)) this.row(name, "waiting");
    this.problems.replaceChildren();
    this.summary.textContent = "Checking the archive …";
  }

  /** Set a row's state: waiting, good, bad or unknown; the word is for those who do not see the mark. */
  row(name, state, text = "") {
    const row = this.rows[name];
    row.dataset.state = state;
    row.querySelector("[data-word]").textContent = { good: "yes: ", bad: "no: ", unknown: "not checked: " }[state] || "";
    row.querySelector("[data-found]").textContent = text;
  }

  progress({ problems, found, read, faulty }, spec) {
    this.showNames(problems, found, spec);
    this.row("masks", "waiting", `${read - faulty} of ${found}`);
    this.showProblems(problems, []);
  }

  /** The first three rows; true if there are masks to be read. */
  showNames(problems, found, spec) {
    const has = (codes) => problems.some(({ code }) => codes.has(code));
    const count = (code) => problems.reduce((sum, each) => sum + (each.code === code ? each.count : 0), 0);
    if (has(WHOLE)) {
      this.row("zip", problems[0].code === "too_large" ? "unknown" : "bad");
      for (const name of ["flat", "names", "masks"]) this.row(name, "unknown");
      return false;
    }
    this.row("zip", "good");
    this.row("flat", has(PLACE) ? "bad" : "good");
    const faults = [["missing_file", "missing"], ["unexpected_file", "not expected"], ["duplicate_file", "twice"]]
      .map(([code, word]) => [count(code), word]).filter(([number]) => number).map(([number, word]) => `${number} ${word}`);
    const total = `${found} of ${spec.patches}`;
    this.row("names", has(NAMES) ? "bad" : "good", [total, ...faults].join(", "));
    return true;
  }

  finish({ problems, unchecked, found, read, faulty }, spec) {
    this.showProblems(problems, unchecked);
    if (this.showNames(problems, found, spec) && found) {
      const unread = unchecked.filter(({ file }) => file).length + found - read;
      const parts = [`${found - faulty - unread} of ${found}`, faulty && `${faulty} faulty`, unread && `${unread} not checked`];
      this.row("masks", faulty ? "bad" : unread ? "unknown" : "good", parts.filter(Boolean).join(", "));
    } else {
      this.row("masks", "unknown");
    }
    if (!found && !problems.length) Object.keys(this.rows).forEach((name) => this.row(name, "unknown"));
    this.root.dataset.state = problems.length ? "bad" : unchecked.length ? "unknown" : "good";
    this.summary.textContent = summaryOf(problems, unchecked, spec);
  }

  showProblems(problems, unchecked) {
    const reasons = new Map();
    for (const { file, reason } of unchecked) reasons.set(reason, [...(reasons.get(reason) || []), file]);
    const notes = [...reasons].map(([reason, files]) => item("not checked", whereOf(files.filter(Boolean), files.length), reason));
    const found = problems.map(({ code, message, files, count }) => item(code, whereOf(files, count), message));
    this.problems.replaceChildren(...found, ...notes);
  }
}

function item(code, where, message) {
  const element = (name, text, className = "") => Object.assign(document.createElement(name), { textContent: text, className });
  const row = document.createElement("li");
  const head = element("p", "", "check-where");
  head.append(element("code", code), ...(where ? [` ${where}`] : []));
  row.append(head, element("p", message));
  return row;
}

/** "in 245 files: mask_1.h5, mask_2.h5, mask_3.h5 …". */
function whereOf(files, count) {
  if (!files.length) return "";
  if (count === 1) return files[0];
  return `in ${count.toLocaleString("en-US")} files: ${files.slice(0, 3).join(", ")}${count > 3 ? " …" : ""}`;
}

function summaryOf(problems, unchecked, spec) {
  if (problems.length) {
    return "The server would not score this archive. You can submit it all the same: the server decides, and an archive "
      + "that cannot be scored does not count towards your quota.";
  }
  if (unchecked.length) return "No problem found in what could be checked here. The server checks everything.";
  return `No problem found in ${spec.patches} masks. The server checks again before it scores.`;
}

/** Ties the panel to the form: checks when a file is chosen or dropped, and again when the phase changes. */
function watch(submitForm) {
  const input = submitForm.querySelector("input[type=file]");
  const panel = new CheckPanel(submitForm.querySelector("[data-check-panel]"));
  const zone = submitForm.querySelector("[data-drop-zone]");
  let running = null;

  async function check() {
    running?.abort();
    const chosen = input.files[0];
    const phase = submitForm.querySelector("input[name=phase]:checked");
    const spec = phase && CHECK.specs[phase.value];
    if (!chosen || !spec) {
      panel.hide();
      return;
    }
    const mine = running = new AbortController();
    panel.start();
    const onProgress = (found) => panel.progress(found, spec);
    const verdict = await runCheck(chosen, spec, { onProgress, signal: mine.signal });
    if (!verdict || running !== mine) return;
    panel.finish(verdict, spec);
    submitForm.dispatchEvent(new CustomEvent("archive:checked", { bubbles: true, detail: { file: chosen, ...verdict } }));
  }

  submitForm.addEventListener("change", (event) => {
    if (event.target === input || event.target.name === "phase") check();
  });
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", (event) => {
    if (!zone.contains(event.relatedTarget)) zone.classList.remove("over");
  });
  zone.addEventListener("drop", (event) => {
    zone.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  if (input.files.length) check();  // the browser kept the file through a reload
}

if (document.querySelector("[data-check-panel]")) watch(document.querySelector("form[data-upload]"));
