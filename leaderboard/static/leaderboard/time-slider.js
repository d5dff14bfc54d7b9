// Moves the board through time: a range input takes the place of the date field, which keeps the value.
"use strict";

const DAY = 86400000;

function startSlider(slider) {
  const date = slider.form.elements.on, box = slider.closest("[data-days]"), { present } = box.dataset;
  const first = Date.parse(date.min), last = Math.round((Date.parse(date.max) - first) / DAY);
  const write = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" });

  function show() {
    const day = Number(slider.value);
    const words = day > last ? present : `at the end of ${write.format(first + day * DAY)}`;
    date.value = day > last ? "" : new Date(first + day * DAY).toISOString().slice(0, 10);
    box.querySelector("output").textContent = words;
    slider.setAttribute("aria-valuetext", words);
  }

  slider.max = last + 1;
  slider.value = date.value ? Math.round((Date.parse(date.value) - first) / DAY) : last + 1;
  slider.addEventListener("input", show);
  date.closest("label").hidden = true;
  box.hidden = false;
  show();
}

startSlider(document.getElementById("day-slider"));
