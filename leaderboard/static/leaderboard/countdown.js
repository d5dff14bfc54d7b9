// Lets every <time class="countdown"> tick by the server's clock, whatever the visitor's clock says.
"use strict";

const UNITS = [["day", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function fill(element, seconds) {
  const parts = [];
  for (const [unit, size] of UNITS) {
    const amount = Math.floor(seconds / size);
    seconds -= amount * size;
    if (parts.length || amount || unit === "s") parts.push([amount, unit]);
  }
  element.replaceChildren(...parts.flatMap(([amount, unit], place) => {
    const number = document.createElement("b");
    number.textContent = place ? String(amount).padStart(2, "0") : String(amount);
    const name = document.createElement("span");
    name.textContent = unit === "day" && amount !== 1 ? "days" : unit;
    return [...(place ? [" "] : []), number, " ", name];
  }));
}

function start(element) {
  const ahead = Number(element.dataset.serverMs) - Date.now();
  const until = Date.parse(element.dateTime);
  element.dataset.ticks = "";
  function tick() {
    const seconds = Math.floor((until - Date.now() - ahead) / 1000);
    if (seconds < 0) {
      element.textContent = "now";
      return;
    }
    fill(element, seconds);
    setTimeout(tick, 1000 - ((Date.now() + ahead) % 1000));
  }
  tick();
}

function startAll(root) {
  for (const element of root.querySelectorAll("time.countdown:not([data-ticks])")) start(element);
}

startAll(document);
document.addEventListener("htmx:load", (event) => startAll(event.detail.elt));
