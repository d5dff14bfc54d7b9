// Names the search fields of the admin for screen readers: select2, which leaves out the label of the field, adds them
// when the page is ready, and again in each line that is added to a form.
"use strict";

function nameSearchFields() {
  for (const field of document.querySelectorAll("select.select2-hidden-accessible:not([data-named])")) {
    const box = field.parentElement.querySelector(".select2-selection[role=combobox]");
    const label = field.labels?.[0];
    if (!box || !label) continue;
    field.dataset.named = "";
    label.id ||= `label-${field.id}`;
    for (const part of [box, box.querySelector("[role=textbox]")]) {
      part?.setAttribute("aria-labelledby", `${label.id} ${part.getAttribute("aria-labelledby") || ""}`.trim());
    }
  }
}

new MutationObserver(nameSearchFields).observe(document.documentElement, { childList: true, subtree: true });
