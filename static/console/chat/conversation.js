// One conversation with one model, shown in one pane.
import { answer } from "./answer.js";
import { thumbs } from "./feedback.js";

const NEAR_PX = 80;

export class Conversation {
  constructor(pane) {
    this.pane = pane;
    this.talk = pane.querySelector(".talk");
    this.messages = [];
  }

  title(text) {
    const title = this.pane.querySelector(".pane-title");
    title.textContent = text;
    title.hidden = !text;
  }

  clear() {
    this.messages = [];
    this.talk.replaceChildren();
  }

  // Adds what the person said and the model's answer. Never rejects: what went wrong shows as a message.
  async say(text, { ticket, model, system, parameters, signal }) {
    const messages = this.messages; // `clear` starts another list
    messages.push({ role: "user", content: text });
    this.bubble("user", text);
    const bubble = this.bubble("assistant", "");
    bubble.classList.add("is-writing");
    let written = "";
    try {
      const result = await answer({
        ticket,
        model,
        parameters,
        signal,
        messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
        onText: (piece) => {
          written += piece;
          this.append(bubble, piece);
        },
      });
      if (!result.text) this.note(bubble, ["The model said nothing."], "is-muted");
      this.note(bubble, result.facts, "is-facts");
      if (result.requestId) bubble.append(thumbs(result.requestId, ticket));
    } catch (error) {
      const stopped = error.name === "AbortError";
      this.note(bubble, [stopped ? "Stopped." : sentence(error)], stopped ? "is-muted" : "is-error");
    }
    bubble.classList.remove("is-writing");
    if (written) messages.push({ role: "assistant", content: written });
    else messages.pop();
  }

  bubble(role, text) {
    const bubble = document.createElement("div");
    bubble.className = `bubble bubble-${role}`;
    const words = document.createElement("div");
    words.className = "bubble-words";
    words.textContent = text;
    bubble.append(words);
    this.talk.append(bubble);
    this.talk.scrollTop = this.talk.scrollHeight;
    return bubble;
  }

  append(bubble, piece) {
    const atEnd = this.talk.scrollHeight - this.talk.scrollTop - this.talk.clientHeight < NEAR_PX;
    bubble.firstChild.append(piece);
    if (atEnd) this.talk.scrollTop = this.talk.scrollHeight;
  }

  note(bubble, words, kind) {
    if (!words.length) return;
    const note = document.createElement("div");
    note.className = `bubble-note ${kind}`;
    if (kind === "is-error") note.setAttribute("role", "alert");
    for (const word of words) {
      const part = document.createElement("span");
      part.textContent = word;
      note.append(part);
    }
    bubble.append(note);
    this.talk.scrollTop = this.talk.scrollHeight;
  }
}

function sentence(error) {
  // fetch rejects with a TypeError when there is no connection.
  return error instanceof TypeError ? "The connection to the gateway broke off." : error.message;
}
