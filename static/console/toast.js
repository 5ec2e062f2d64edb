// Says something for a few seconds at the corner of the page.
const SECONDS = 6;

export function toast(text, kind = "danger") {
  const card = document.createElement("div");
  card.className = `alert alert-${kind} toast-card`;
  card.textContent = text;
  document.getElementById("toasts").append(card);
  setTimeout(() => card.remove(), SECONDS * 1000);
}
