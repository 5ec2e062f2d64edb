// Shows the page behind a link with `data-dialog` in a dialog; without JavaScript the link opens that page itself.
const dialog = document.getElementById("dialog");

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-dialog]");
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
    event.preventDefault();
    link.closest("details.menu")?.removeAttribute("open");
    htmx.ajax("GET", link.href, { target: "#dialog", swap: "innerHTML" });
  } else if (event.target === dialog || event.target.closest("[data-dialog-close]")) {
    dialog.close();
  }
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== dialog) {
    // What refreshes itself goes on behind an open dialog.
    if (dialog.open && !event.detail.target.closest("[data-live]")) dialog.close();
    return;
  }
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(".is-invalid, [autofocus]")?.focus();
  for (const input of dialog.querySelectorAll("[data-must-equal]")) input.dispatchEvent(new Event("input", { bubbles: true }));
});

dialog.addEventListener("close", () => dialog.replaceChildren());

// The button of a form with `data-must-equal` wakes up when the words typed are the words asked for.
document.addEventListener("input", (event) => {
  const wanted = event.target.dataset.mustEqual;
  if (wanted === undefined) return;
  event.target.form.querySelector("[type=submit]").disabled = event.target.value !== wanted;
});
