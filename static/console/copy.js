// Copies the text of the element that a button's `data-copy` selects.
async function write(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Over plain HTTP browsers have no clipboard API; the old command still works there.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await write(document.querySelector(button.dataset.copy).textContent);
  const label = button.querySelector("span");
  const before = label.textContent;
  if (button.classList.contains("is-copied")) return;
  button.classList.add("is-copied");
  label.textContent = "Copied";
  setTimeout(() => {
    button.classList.remove("is-copied");
    label.textContent = before;
  }, 1600);
});
