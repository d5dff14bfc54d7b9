// Uploads that survive a cut line, sleep, a reload and a lost session (tus). Without this script, the browser submits
// the form as usual. Events on the form: upload:progress, upload:done, upload:error.

import { MEGABYTE, Rate, fileProblem, form, parsed, showErrors, size, span, token } from "./upload/form.js";
import { Kept } from "./upload/kept.js";

const STALLED_MS = 30000;  // without a byte for so long, the connection counts as dead
const LIFETIME_MS = 23 * 3600000;  // the server keeps an unfinished upload for a day
const FIELD_OF = { empty_file: "archive", too_large: "archive", same_archive: "allow_duplicate" };
const OUT_OF_STEP = ["wrong_offset", "checksum_mismatch", "upload_incomplete"];  // asking for the offset puts it right
const KEPT_FIELDS = ["method", "description", "link"];

class Uploader {
  constructor() {
    this.file = form.querySelector("input[type=file]");
    this.panel = form.querySelector("[data-upload-progress]");
    this.phases = form.querySelector("input[name=phase]").closest("fieldset");
    this.button = form.querySelector("button:not([type=button])");
    this.kept = new Kept(`upload ${form.dataset.user} ${location.pathname}`);
    this.ahead = Number(form.dataset.serverMs) - Date.now();
    this.state = "idle";
    this.failures = 0;
    this.part("pause").onclick = () => (this.state === "paused" ? this.goOn() : this.pause());
    this.part("stop").onclick = () => this.stop();
    this.part("again").onclick = () => form.requestSubmit();
    this.file.addEventListener("change", () => this.chosen());
    form.addEventListener("submit", (event) => this.submitted(event));
    form.addEventListener("input", () => this.kept.update({ fields: this.texts() }));
    window.addEventListener("beforeunload", (event) => this.isBusy && event.preventDefault());
    for (const name of ["online", "focus", "visibilitychange"]) window.addEventListener(name, () => this.look());
    setInterval(() => this.look(), 1000);
    this.restore();
  }

  part(name) {
    return this.panel.querySelector(`[data-upload-${name}]`);
  }

  get isBusy() {
    return ["sending", "waiting", "submitting", "signed out"].includes(this.state);
  }

  get phase() {
    return form.querySelector("input[name=phase]:checked");
  }

  texts() {
    return Object.fromEntries(KEPT_FIELDS.map((name) => [name, form.elements[name].value]));
  }

  // Beginning

  async restore() {
    const { fields = {}, phase } = this.kept.record;
    for (const name of KEPT_FIELDS) form.elements[name].value ||= fields[name] || "";
    if (!(await this.kept.own())) {
      this.kept = new Kept(null);  // another tab is at it
      return;
    }
    const { upload } = this.kept.record;
    if (!upload || this.isBusy || this.file.files.length) return;
    const radio = [...form.querySelectorAll("input[name=phase]:enabled")].find((each) => each.value === phase);
    if (radio) radio.checked = true;
    const file = await this.kept.files("readonly", (store) => store.get(this.kept.name));
    if (file) {
      const chosen = new DataTransfer();
      chosen.items.add(file);
      this.file.files = chosen.files;
      this.file.dispatchEvent(new Event("change", { bubbles: true }));
      return;
    }
    this.set("interrupted");
    this.figures(upload.sent || 0, upload.size);
    this.wait(`${upload.name} was on its way when this page was left. Choose the same file again to go on.`);
  }

  chosen() {
    const file = this.file.files[0];
    showErrors("archive", file ? fileProblem(file) : "");
    showErrors("allow_duplicate", "");
    form.querySelector("[data-same-archive]").hidden = true;
    form.elements.allow_duplicate.checked = false;
    if (file && this.saved(file)?.state === "sending" && !this.isBusy) this.begin(file);
    else if (file && this.saved(file)?.state === "paused" && !this.isBusy) this.pause();
    else if (!this.isBusy) this.set("idle");
    if (file && this.finished && this.finished.file !== file) this.finished = null;
  }

  /** What is known of an earlier upload of this file to this phase. */
  saved(file) {
    const { upload, phase } = this.kept.record;
    const same = upload && upload.name === file.name && upload.size === file.size && upload.modified === file.lastModified;
    return same && phase === this.phase?.value && Date.now() - upload.begun < LIFETIME_MS ? upload : null;
  }

  submitted(event) {
    event.preventDefault();
    if (this.isBusy) return;
    const file = this.file.files[0];
    const sentence = file ? fileProblem(file) : "Please choose the ZIP archive of your masks.";
    showErrors("archive", sentence);
    for (const name of ["__all__", "phase", "allow_duplicate", ...KEPT_FIELDS]) showErrors(name, "");
    if (sentence) this.file.focus();
    else if (form.reportValidity()) this.begin(file);
  }

  begin(file) {
    if (this.finished?.file === file && this.finished.phase === this.phase.value) {
      this.submit();
      return;
    }
    const saved = this.saved(file);
    const facts = { name: file.name, size: file.size, modified: file.lastModified };
    this.kept.update({
      fields: this.texts(), phase: this.phase.value,
      upload: { begun: Date.now(), ...saved, ...facts, state: "sending" },
    });
    this.kept.files("readwrite", (store) => store.put(file, this.kept.name));
    this.current = file;
    this.upload = this.tus(file, saved?.url || null);
    this.failures = 0;
    this.send();
  }

  tus(file, uploadUrl) {
    const upload = new tus.Upload(file, {
      endpoint: form.dataset.uploadsUrl,
      uploadUrl,
      chunkSize: MEGABYTE,
      retryDelays: null,  // this page has its own patience
      storeFingerprintForResuming: false,
      metadata: { filename: file.name, phase: this.phase.value },
      onBeforeRequest: (request) => request.setHeader("X-CSRFToken", token()),
      onUploadUrlAvailable: () => this.note({ url: upload.url }),
      onProgress: (sent, total) => upload === this.upload && this.progress(sent, total),
      onChunkComplete: (_, sent) => {
        this.failures = 0;
        this.note({ sent });
        // About four seconds each: that is what a cut can lose.
        upload.options.chunkSize = Math.round(Math.min(8 * MEGABYTE, Math.max(MEGABYTE / 4, 4 * (this.rate.value || 0))));
      },
      onError: (error) => upload === this.upload && this.failed(error),
      onSuccess: () => {
        this.finished = { file, phase: this.phase.value, url: upload.url };
        this.submit();
      },
    });
    return upload;
  }

  note(changes) {
    const { upload } = this.kept.record;
    if (upload) this.kept.update({ upload: { ...upload, ...changes } });
  }

  // On the way

  async send() {
    this.set("sending");
    this.rate = new Rate();
    this.heard = Date.now();
    try {
      await this.current.slice(0, 1).arrayBuffer();
    } catch {
      this.fail(`${this.current.name} has changed since it was chosen, or is gone. Choose it again.`);
      return;
    }
    if (this.state === "sending") this.upload.start();
  }

  progress(sent, total) {
    if (this.state !== "sending") return;
    if (sent !== this.sent) this.heard = Date.now();
    this.sent = sent;
    this.rate.add(sent);
    this.figures(sent, total);
    this.warnIfLate(sent, total);
  }

  figures(sent, total) {
    const percent = Math.floor((100 * sent) / total), rate = this.rate?.value;
    this.panel.querySelector("progress").value = percent;
    const facts = [`${size(sent)} of ${size(total)}`];
    if (this.state === "sending" && rate) facts.push(`${size(rate)}/s`, `${span((total - sent) / rate)} left`);
    const number = document.createElement("b");
    number.textContent = `${percent} %`;
    this.part("figures").replaceChildren(number, ` · ${facts.join(" · ")}`);
    if (Math.floor(percent / 25) !== this.quarter) {
      this.quarter = Math.floor(percent / 25);
      this.say(`${percent} % sent`);
    }
    const secondsLeft = rate ? (total - sent) / rate : null;
    form.dispatchEvent(new CustomEvent("upload:progress", { detail: { sent, total, rate, secondsLeft } }));
  }

  /** Say so when rate and size mean that the upload will not be complete in time. */
  warnIfLate(sent, total) {
    const rate = this.rate.value, ends = Date.parse(this.phase?.dataset.uploadsEnd);
    const needs = (total - sent) / rate, left = (ends - Date.now() - this.ahead) / 1000;
    const late = rate !== null && needs > left;  // never where there is no end
    this.part("late").hidden = !late;
    if (late) {
      this.part("late").textContent = `At this speed the upload needs ${span(needs)} more, but it must be complete in `
        + `${span(Math.max(0, left))}. A faster line or a smaller archive would help.`;
    }
  }

  /** Every second, and when the line, the tab or the computer comes back. */
  look() {
    const asleep = this.state === "sending" && Date.now() - this.heard > STALLED_MS;
    if (asleep) {
      this.upload.abort();
      this.retry(`Nothing has got through for ${STALLED_MS / 1000} seconds.`);
    } else if (this.state === "waiting" && Date.now() >= this.nextTry && navigator.onLine !== false) {
      this.goOn();
    } else if (this.state === "signed out" && Date.now() >= this.nextTry) {
      this.nextTry = Date.now() + 3000;
      this.lookForSession();
    }
  }

  goOn() {
    if (!this.upload && this.current === undefined && this.file.files[0]) this.begin(this.file.files[0]);
    else if (this.finished) this.submit();
    else this.send();
    this.note({ state: "sending" });
  }

  pause() {
    this.upload?.abort();
    this.set("paused");
    this.note({ state: "paused" });
    const { upload } = this.kept.record;
    this.figures(this.sent ?? upload?.sent ?? 0, this.file.files[0].size);
    this.say("Paused.");
  }

  stop() {
    this.upload?.abort(true)?.catch(() => {});
    this.upload = this.current = this.finished = null;
    this.kept.update({ upload: null });
    this.kept.files("readwrite", (store) => store.delete(this.kept.name));
    this.fail("You stopped the upload. Nothing was counted.");
  }

  retry(sentence, seconds = null) {
    const pause = seconds ?? Math.min(30, 2 ** this.failures);
    this.failures += 1;
    this.nextTry = Date.now() + 1000 * pause;
    this.set("waiting");
    this.wait(`${sentence} What has arrived is safe; the upload goes on by itself.`);
  }

  /** An error of a request of the upload: wait, ask for a new session, or show what the server says. */
  async failed(error) {
    const response = error.originalResponse;
    if (!response || !response.getStatus()) return this.retry("The connection is lost.");
    const problem = parsed(response.getBody());
    await this.refused(response.getStatus(), problem, Number(response.getHeader("Retry-After")) || null);
    return null;
  }

  async refused(status, problem, seconds) {
    if (status === 429 && problem.code !== "quota_used_up") this.retry("The server is busy.", seconds || 5);
    else if (status >= 500) this.retry(problem.detail || "The server has a problem.", seconds);
    else if (OUT_OF_STEP.includes(problem.code)) this.goOnFrom();
    else if (status === 410 && this.failures < 3) this.startAgain();
    else if (status === 401 || (status === 403 && /CSRF/.test(problem.detail || ""))) await this.lookForSession();
    else this.show(problem, status);
  }

  goOnFrom() {
    this.finished = null;
    this.retry("The server expected other bytes.", 1);
  }

  startAgain() {
    this.finished = null;
    this.note({ url: null, begun: Date.now() });
    this.upload = this.tus(this.current, null);
    this.retry("The server no longer has this upload.", 0);
  }

  /** Get a new CSRF token where the session still holds; otherwise wait until somebody has signed in again. */
  async lookForSession() {
    let answer;
    try {
      answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
    } catch {
      return this.retry("The connection is lost.");
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("form[data-upload]");
    if (!fresh) return this.askToSignIn();
    if (fresh.dataset.user !== form.dataset.user) {
      return this.fail("Somebody else is signed in now. Sign in as before, then try again.");
    }
    form.elements.csrfmiddlewaretoken.value = fresh.elements.csrfmiddlewaretoken.value;
    this.failures += 1;
    if (this.failures > 5) return this.fail("Your browser does not send this site's cookies. Allow them, then try again.");
    return this.goOn();
  }

  askToSignIn() {
    if (this.state === "signed out") return;
    this.set("signed out");
    this.nextTry = Date.now() + 3000;
    const link = Object.assign(document.createElement("a"), {
      href: form.dataset.signIn, target: "_blank", rel: "noopener", textContent: "Sign in again in another tab",
    });
    this.wait("You are signed out. ", link, "; then this goes on by itself. Your texts and the file stay.");
  }

  // The end

  /** Submit what has arrived: the same request as that of a script. */
  async submit() {
    this.set("submitting");
    this.figures(this.finished.file.size, this.finished.file.size);
    this.wait("All sent. The server is storing it.");
    const body = {
      ...this.texts(), phase: Number(this.finished.phase), upload: this.finished.url,
      allow_duplicate: form.elements.allow_duplicate.checked,
    };
    let answer, content;
    try {
      const headers = { "Content-Type": "application/json", "X-CSRFToken": token() };
      answer = await fetch(form.dataset.submissionsUrl, { method: "POST", headers, body: JSON.stringify(body) });
      content = parsed(await answer.text());
    } catch {
      this.retry("The connection was lost before the server answered.");
      return;
    }
    if (!answer.ok) {
      await this.refused(answer.status, content, Number(answer.headers.get("Retry-After")) || null);
      return;
    }
    this.kept.clear();
    this.state = "done";
    form.dispatchEvent(new CustomEvent("upload:done", { detail: { submission: content.id } }));
    location.assign(form.dataset.submissionPage.replace("/0/", `/${content.id}/`));
  }

  /** Show the server's refusal beside the field that it concerns, else where the bar was; texts and file stay. */
  show(problem, status) {
    const byField = problem.errors || {};
    const named = FIELD_OF[problem.code];
    if (named) byField[named] = [problem.detail];
    const shown = Object.entries(byField).filter(([name, sentences]) => showErrors(name === "upload" ? "archive" : name, ...sentences));
    if (problem.code === "same_archive") form.querySelector("[data-same-archive]").hidden = false;
    if (!shown.length) {
      this.fail(problem.detail || `The server answered with status ${status} and did not accept the archive.`);
      return;
    }
    this.set("idle");
    this.note({ state: "refused" });
    const place = form.querySelector(`[data-errors="${shown[0][0]}"]`);
    const field = place.closest(".field").querySelector("input:enabled:not([type=hidden]), textarea");
    place.scrollIntoView({ block: "center" });
    field?.focus({ preventScroll: true });
    form.dispatchEvent(new CustomEvent("upload:error", { detail: { code: problem.code, message: problem.detail } }));
  }

  fail(sentence) {
    this.set("failed");
    this.note({ state: "failed" });
    this.part("error-text").textContent = sentence;
    this.part("error").scrollIntoView({ block: "center" });
    this.part("error").focus({ preventScroll: true });
    form.dispatchEvent(new CustomEvent("upload:error", { detail: { code: null, message: sentence } }));
  }

  // What the page shows

  set(state) {
    this.state = state;
    const running = this.isBusy || state === "paused";
    this.panel.hidden = state === "idle";
    this.panel.dataset.state = state;
    this.part("bar").hidden = state === "failed";
    this.part("error").hidden = state !== "failed";
    this.part("wait").hidden = this.part("late").hidden = true;
    this.part("actions").hidden = !running || state === "submitting";  // what has arrived may already count
    this.part("pause").textContent = state === "paused" ? "Resume" : "Pause";
    this.button.disabled = this.file.disabled = running;
    this.phases.disabled = running;
  }

  wait(...content) {
    this.part("wait").hidden = false;
    this.part("wait").replaceChildren(...content);
  }

  say(sentence) {
    this.part("said").textContent = sentence;
  }
}

if (form?.querySelector("input[type=file]") && window.tus?.isSupported) new Uploader();
