// Tells the person when a request that htmx made has failed.
import { toast } from "./toast.js";

const SENTENCES = {
  401: "You are signed out. Sign in again.",
  403: "Your role does not allow this.",
  404: "This no longer exists. Reload the page.",
};

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  toast(SENTENCES[status] ?? `The server could not do this (${status}). Try again.`);
});

// A fragment that refreshes itself fails quietly: the next round comes in a moment.
document.addEventListener("htmx:sendError", (event) => {
  if (!event.detail.elt.hasAttribute("data-live")) toast("The server cannot be reached. Try again.");
});
