// Small conveniences on every page: local time beside UTC, copy and print buttons, no polling while the tab is hidden.
"use strict";

function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time.moment:not([data-local])")) {
    time.dataset.local = "";
    const moment = new Date(time.dateTime);
    if (moment.getTimezoneOffset() === 0) continue;
    const sameDay = moment.getDate() === moment.getUTCDate();
    const day = sameDay ? {} : { day: "numeric", month: "short" };
    const text = new Intl.DateTimeFormat(undefined, { ...day, hour: "numeric", minute: "2-digit" }).format(moment);
    time.title = `${text} your time`;
    if (time.classList.contains("moment-short")) continue;
    const local = document.createElement("span");
    local.className = "local";
    local.textContent = `(${text} your time)`;
    time.after(" ", local);
  }
}

function addCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const code of root.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button quiet small copy-button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    const block = code.closest("pre");
    if (block) {
      const wrapper = Object.assign(document.createElement("div"), { className: "copyable" });
      block.replaceWith(wrapper);
      wrapper.append(block, button);
    } else {
      code.after(button);
    }
    delete code.dataset.copy;
  }
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

/** Signing in or out in another tab changes the CSRF token: a form sends the one that holds now. */
document.addEventListener("submit", (event) => {
  const field = event.target.querySelector("input[name=csrfmiddlewaretoken]");
  const cookie = document.cookie.match(/(?:^|; )(?:__Host-)?csrftoken=([^;]+)/);
  if (field && cookie) field.value = cookie[1];
}, true);

/** A passkey or security key that was not used: the browser's dialog is gone, so the page says it. */
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  document.querySelector("[data-passkey-error]")?.remove();
  const line = document.createElement("p");
  line.className = "note error";
  line.role = "alert";
  line.dataset.passkeyError = "";
  line.textContent = "The passkey or security key was not used: the device refused, or you ended its dialog. Try again.";
  document.querySelector("main").prepend(line);
});

showLocalTimes(document);
addCopyButtons(document);
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
document.addEventListener("htmx:load", (event) => showLocalTimes(event.detail.elt));
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});
