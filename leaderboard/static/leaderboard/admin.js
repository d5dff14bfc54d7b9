// Names the search fields of the admin for screen readers: select2 leaves out the label of the field.
"use strict";

window.addEventListener("load", () => {
  for (const field of document.querySelectorAll("select.select2-hidden-accessible")) {
    const box = field.parentElement.querySelector(".select2-selection[role=combobox]");
    const label = field.labels?.[0];
    if (!box || !label) continue;
    label.id ||= `label-${field.id}`;
    for (const part of [box, box.querySelector("[role=textbox]")]) {
      part?.setAttribute("aria-labelledby", `${label.id} ${part.getAttribute("aria-labelledby") || ""}`.trim());
    }
  }
});
