// Shows exact moments in the reader's own time zone when hovering over "3 minutes ago".
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

localise(document);
document.addEventListener("htmx:afterSettle", (event) => localise(event.detail.elt.parentElement ?? document));
