// What screen readers read of the admin. The theme's scripts add parts when the page is ready, and again later.
"use strict";

// Search fields: select2 leaves out the label of the field.

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

// Icons are words of a font ("person_add"): hidden wherever a title or other words name the link or button.
function hideIcons() {
  for (const icon of document.querySelectorAll(".material-symbols-outlined:not([aria-hidden])")) {
    const control = icon.closest("a, button, label");
    const icons = control ? [...control.querySelectorAll(".material-symbols-outlined")] : [];
    const drawn = icons.reduce((sum, each) => sum + each.textContent.trim().length, 0);
    const isNamed = !control || control.title || control.ariaLabel || control.textContent.trim().length > drawn;
    if (isNamed) icon.ariaHidden = "true";
  }
}

new MutationObserver(() => {
  nameSearchFields();
  hideIcons();
}).observe(document.documentElement, { childList: true, subtree: true });
