// The playground: one model, or two side by side, asked through the gateway like any client does.
import { Conversation } from "./conversation.js";
import { ticketFrom } from "./ticket.js";

const chat = document.getElementById("chat");
const part = (id) => document.getElementById(id);

function start() {
  const csrfToken = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  const ticket = ticketFrom(chat.dataset.ticketUrl, csrfToken);
  const first = new Conversation(part("pane-a"));
  const second = new Conversation(part("pane-b"));
  const [model, other, prompt] = [part("model"), part("other"), part("prompt")];
  let running = null;

  function models() {
    return other.value ? [[first, model.value], [second, other.value]] : [[first, model.value]];
  }

  function showModels() {
    const comparing = Boolean(other.value);
    part("pane-b").hidden = !comparing;
    part("panes").classList.toggle("is-comparing", comparing);
    first.title(comparing ? model.value : "");
    second.title(other.value);
    part("start-model").textContent = comparing ? `${model.value} and ${other.value}` : model.value;
    showCode();
  }

  const codes = [...document.querySelectorAll("#code pre code")].map((code) => [code, code.textContent]);
  function showCode() {
    for (const [code, text] of codes) code.textContent = text.replaceAll(chat.dataset.placeholder, model.value);
  }

  function clear() {
    running?.abort();
    first.clear();
    second.clear();
    part("start").hidden = false;
    prompt.focus();
  }

  function busy(is) {
    part("send").hidden = is;
    part("stop").hidden = !is;
    chat.setAttribute("aria-busy", String(is));
  }

  function parameters() {
    const wished = { temperature: Number(part("temperature").value) };
    const most = Number(part("max-tokens").value);
    return most > 0 ? { ...wished, max_tokens: most } : wished;
  }

  async function say(text) {
    if (running || !text.trim()) return;
    part("start").hidden = true;
    prompt.value = "";
    grow();
    running = new AbortController();
    busy(true);
    const wish = { ticket, system: part("system").value.trim(), parameters: parameters(), signal: running.signal };
    await Promise.all(models().map(([conversation, name]) => conversation.say(text, { ...wish, model: name })));
    running = null;
    busy(false);
    prompt.focus();
  }

  function grow() {
    prompt.style.height = "auto";
    prompt.style.height = `${Math.min(prompt.scrollHeight, 200)}px`;
  }

  part("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    say(prompt.value);
  });
  prompt.addEventListener("input", grow);
  prompt.addEventListener("keydown", (event) => {
    // `isComposing`: Enter that ends a word of an input method is not meant to send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    say(prompt.value);
  });
  part("stop").addEventListener("click", () => running?.abort());
  part("clear").addEventListener("click", clear);
  part("show-code").addEventListener("click", () => part("code").showModal());
  part("temperature").addEventListener("input", (event) => (part("temperature-shown").textContent = event.target.value));
  for (const idea of document.querySelectorAll("[data-idea]")) idea.addEventListener("click", () => say(idea.textContent));
  // A conversation belongs to its model: another one starts afresh.
  for (const select of [model, other]) {
    select.addEventListener("change", () => {
      clear();
      showModels();
    });
  }
  if (matchMedia("(max-width: 991px)").matches) document.querySelector(".chat-more").open = false;
  showModels();
}

if (part("composer")) start();
