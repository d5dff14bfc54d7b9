// The admin's theme writes its behaviour in attributes, which Alpine compiles with `Function`. The Content-Security-Policy
// forbids that, so the pages load Alpine's own build without it. It reads all of them except the few statements, arrow
// functions and globals that are replaced here, and it finds only those functions of the page that are named here.
"use strict";

const REPLACED = [
  // attribute, the part of its value that cannot be read, what takes its place
  ["x-data", /\(localStorage[^]*true/, "sidebarWasOpen()"],
  ["x-init", /;[^]*/, ""],
  ["x-on:click", /; localStorage[^]*/, ""],
  ["x-on:keydown.enter.prevent", /^if (\(.*?\)) (?=selectItem)/, "$1 && "],
  ["x-bind:action", /^[^]*window\.location[^]*/, "addressWithTab(activeTab)"],
];

const FUNCTIONS = {
  getCurrentTab: () => getCurrentTab(),
  sortRecords: (event) => sortRecords(event),
  moveRecords: (event) => moveRecords(event),
  sidebarWasOpen: () => localStorage.getItem("sidebarDesktopOpen") !== "0",
  keepSidebar: (open) => localStorage.setItem("sidebarDesktopOpen", open ? "1" : "0"),
  addressWithTab: (tab) => location.pathname + location.search + (tab && tab !== "general" ? `#${tab}` : ""),
};

document.addEventListener("alpine:init", () => {
  Alpine.interceptInit((element) => {
    for (const [name, unreadable, readable] of REPLACED) {
      const value = element.getAttribute?.(name);
      if (value) element.setAttribute(name, value.replace(unreadable, readable));
    }
  });
  document.body.setAttribute("x-effect", "keepSidebar(sidebarDesktopOpen)");
  Alpine.data("theme", (chosen) => ({ ...theme(chosen), ...FUNCTIONS }));
  Alpine.data("searchForm", searchForm);
  Alpine.data("searchDropdown", searchDropdown);
  Alpine.data("searchCommand", searchCommand);
});
