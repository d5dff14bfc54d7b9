// Upload with a progress bar. Without this script, the browser submits the form as usual.
"use strict";

const form = document.querySelector("form[data-upload]");
const file = form && form.querySelector("input[type=file]");

function size(bytes) {
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(0)} kB` : `${(bytes / 1048576).toFixed(1)} MB`;
}

function showError(field, sentence) {
  const place = form.querySelector(`[data-errors="${field}"]`);
  const list = document.createElement("ul");
  list.className = "errorlist";
  list.append(Object.assign(document.createElement("li"), { textContent: sentence }));
  place.replaceChildren(...(sentence ? [list] : []));
  place.closest(".field")?.classList.toggle("has-errors", Boolean(sentence));
}

/** The problem with the chosen file, found before anything is sent, or "". */
function fileProblem() {
  const chosen = file.files[0];
  if (!chosen) return "Please choose the ZIP archive of your masks.";
  if (chosen.size === 0) return `${chosen.name} is empty. Choose the ZIP archive of your masks.`;
  const most = Number(form.dataset.mostBytes);
  if (chosen.size > most) {
    return `${chosen.name} is ${size(chosen.size)}, but the limit is ${size(most)}. `
      + "Write the masks as uint8 and compress the ZIP.";
  }
  return "";
}

/** Show the errors of the server's response beside the fields; the typed text and the chosen file stay. */
function showRefusals(html) {
  const answer = new DOMParser().parseFromString(html, "text/html");
  const places = answer.querySelectorAll("form[data-upload] [data-errors]");
  for (const place of places) {
    const mine = form.querySelector(`[data-errors="${place.dataset.errors}"]`);
    if (!mine) continue;
    mine.replaceChildren(...[...place.childNodes].map((node) => document.importNode(node, true)));
    mine.querySelector(".keeps-no-file")?.remove();
    mine.closest(".field")?.classList.toggle("has-errors", place.childElementCount > 0);
  }
  (form.querySelector(".errorlist") || form).scrollIntoView({ block: "center" });
  return places.length > 0;
}

function send() {
  const request = new XMLHttpRequest();
  const progress = form.querySelector("[data-progress]");
  const bar = progress.querySelector("progress");
  const text = progress.querySelector("[data-progress-text]");
  const button = form.querySelector("button.button");
  const cancel = form.querySelector("[data-cancel]");
  const end = (sentence) => {
    progress.hidden = cancel.hidden = true;
    button.disabled = false;
    showError("__all__", sentence);
  };

  showError("__all__", "");
  button.disabled = true;
  bar.value = 0;
  progress.hidden = cancel.hidden = false;
  cancel.onclick = () => request.abort();
  request.upload.onprogress = (event) => {
    const percent = Math.round((100 * event.loaded) / event.total);
    bar.value = percent;
    cancel.hidden = percent === 100;  // an archive that has arrived may already count
    text.textContent = percent < 100
      ? `${percent} % of ${size(event.total)} sent`
      : "All sent. The server is storing it.";
  };
  request.onerror = () => end(bar.value < 100
    ? "The connection was lost before the archive arrived. Nothing was counted. Please press Submit again."
    : "The connection was lost before the server answered. Please press Submit again: "
      + "the same archive counts only once.");
  request.onabort = () => end("You stopped the upload. Nothing was counted.");
  request.onload = () => {
    if (request.status < 400) {
      location.assign(request.responseURL);
    } else if (showRefusals(request.responseText)) {
      progress.hidden = cancel.hidden = true;
      button.disabled = false;
    } else {
      end(`The server answered with status ${request.status} and did not accept the archive. `
        + "Please try again in a moment.");
    }
  };
  request.open("POST", form.action);
  request.send(new FormData(form));
}

if (file) {
  file.addEventListener("change", () => showError("archive", file.files[0] ? fileProblem() : ""));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const sentence = fileProblem();
    showError("archive", sentence);
    if (sentence) {
      file.focus();
    } else if (form.reportValidity()) {
      send();
    }
  });
}
