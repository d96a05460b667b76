"use strict";
// Comfort only: everything here can be done without it. Files dropped on a form, forms that send themselves, one-key actions.
addEventListener("change", event => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, event => {
    const form = document.querySelector("[data-drop]");
    if (!form) return;
    event.preventDefault();
    form.classList.toggle("over", kind === "dragover");
    if (kind !== "drop" || !event.dataTransfer.files.length) return;
    const input = form.querySelector("input[type=file]");
    input.files = event.dataTransfer.files;
    form.requestSubmit();
  });
}
// A button or link with data-key="x" is pressed by the key x, as long as nobody is writing into a field.
addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const found = [...document.querySelectorAll("[data-key]")].find(one => one.dataset.key === event.key && !one.disabled);
  if (!found) return;
  event.preventDefault();
  found.focus();
  found.click();
});
