// The upload page: pick or drop, check, send, go on to the adapter.
import { choose, read, suggestName } from "./check.js";
import { chosen, dropped } from "./pick.js";
import { duration, finish, send, size } from "./send.js";

const form = document.getElementById("upload");
const part = (id) => document.getElementById(id);
const drop = part("drop");
const button = form.querySelector("[type=submit]");
const nameField = part("id_name");
let selection = { send: [], left: [] };
let nameByHand = Boolean(nameField?.value);
let running = null;

function say(id, text) {
  part(id).textContent = text;
}

function row(item, note) {
  const line = document.createElement("li");
  line.className = note ? "is-left" : "";
  const name = document.createElement("span");
  name.textContent = item.path;
  const about = document.createElement("span");
  about.textContent = note || size(item.file.size);
  line.append(name, about);
  return line;
}

async function take(picked) {
  if (!picked.length) return;
  selection = choose(picked);
  const shown = selection.left.slice(0, 6);
  const rest = selection.left.length - shown.length;
  part("picked").replaceChildren(
    ...selection.send.map((item) => row(item)),
    ...shown.map((item) => row(item, "left out, not needed")),
    ...(rest > 0 ? [row({ path: `and ${rest} more` }, "left out, not needed")] : []),
  );
  part("picked").hidden = false;
  const about = selection.problem ? { problem: selection.problem } : await read(selection.send, Number(form.dataset.maxBytes));
  selection.problem = about.problem;
  say("files-error", about.problem);
  drop.classList.toggle("is-invalid", Boolean(about.problem));
  say("about", about.rank ? `LoRA of rank ${about.rank}, alpha ${about.alpha}${about.base ? `, trained on ${about.base}` : ""}` : "");
  if (about.base) chooseBase(about.base);
  if (nameField && !nameByHand) nameField.value = suggestName(picked) || nameField.value;
}

function chooseBase(trainedOn) {
  const last = (name) => name.toLowerCase().split("/").pop();
  for (const option of part("id_base_model").options) {
    const known = [option.value, option.dataset.source].filter(Boolean);
    if (!option.disabled && known.some((name) => last(name) === last(trainedOn))) option.selected = true;
  }
}

function showErrors(errors) {
  for (const old of form.querySelectorAll(".field-error.from-server")) old.remove();
  for (const [field, sentences] of Object.entries(errors)) {
    const text = [sentences].flat().join(" ");
    if (field === "files" || field === "uploads" || field.startsWith("Upload-")) {
      say("files-error", text);
      continue;
    }
    const control = form.elements[field];
    if (!control || control.type === "hidden") {
      say("problem", text);
      part("problem").hidden = false;
      continue;
    }
    control.classList.add("is-invalid");
    const error = document.createElement("div");
    error.className = "field-error from-server";
    error.setAttribute("role", "alert");
    error.textContent = text;
    control.parentElement.append(error);
    control.focus();
  }
}

function problemOf(status, answer) {
  if (answer?.detail) return answer.detail;
  if (status === 0) return "The connection broke off before the upload was complete. Try again.";
  if (status === 413) return "These files are larger than this platform takes.";
  if (status === 401 || status === 403) return "You may not upload here, or you were signed out. Reload the page.";
  return `The server could not take the upload (${status}). Try again.`;
}

function busy(is) {
  button.disabled = is;
  part("sending").hidden = !is;
}

async function submit() {
  part("problem").hidden = true;
  for (const field of form.querySelectorAll(".is-invalid")) if (field !== drop) field.classList.remove("is-invalid");
  if (!selection.send.length || selection.problem) {
    say("files-error", selection.problem || "Choose the adapter's files first.");
    drop.classList.add("is-invalid");
    return;
  }
  busy(true);
  const chosenNow = selection;
  const token = form.elements.csrfmiddlewaretoken.value;
  running = send(form.dataset.uploadsUrl, token, chosenNow, ({ share, speed, left, waiting }) => {
    part("sending-bar").value = share;
    say("sending-what", waiting ? "The connection is lost. Trying again…" : share < 1 ? "Uploading" : "Taking it in…");
    say("sending-percent", `${Math.floor(100 * share)} %`);
    say("sending-speed", share < 1 && speed ? `${size(speed)}/s` : "");
    say("sending-left", share < 1 && Number.isFinite(left) ? `${duration(left)} left` : "");
  });
  let { status, answer, ids } = await running.done;
  if (ids) {
    // Kept, so that a name which is refused costs no second upload.
    chosenNow.ids = ids;
    const { name, base_model: base, notes } = form.elements;
    const wish = { name: name.value, base_model: base.value, notes: notes.value, uploads: ids };
    ({ status, answer } = await finish(form.dataset.adaptersUrl, token, wish));
    if (answer?.errors?.uploads) chosenNow.ids = null;
  }
  running = null;
  if (status === 202) {
    location.assign(form.dataset.adapterUrl.replace("NAME", encodeURIComponent(answer.name)));
    return;
  }
  busy(false);
  if (status === "cancelled") return;
  if (answer?.errors) {
    showErrors(answer.errors);
  } else {
    say("problem", problemOf(status, answer));
    part("problem").hidden = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) submit();
});
nameField?.addEventListener("input", () => (nameByHand = nameField.value !== ""));
part("files").addEventListener("change", (event) => take(chosen(event.target.files)));
part("folder").addEventListener("change", (event) => take(chosen(event.target.files)));
part("cancel").addEventListener("click", (event) => {
  if (!running) return;
  event.preventDefault();
  running.cancel();
});

// The whole window takes a drop: who misses the box would otherwise leave the page for the file.
let within = 0;
window.addEventListener("dragenter", () => drop.classList.toggle("is-over", ++within > 0));
window.addEventListener("dragleave", () => drop.classList.toggle("is-over", --within > 0));
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", async (event) => {
  event.preventDefault();
  within = 0;
  drop.classList.remove("is-over");
  take(await dropped(event.dataTransfer));
});
window.addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});
