// Two thumbs below an answer, and a comment once there is one; what is sent last counts.

export function thumbs(requestId, ticket) {
  const part = document.getElementById("thumbs").content.firstElementChild.cloneNode(true);
  const buttons = [...part.querySelectorAll(":scope > button")];
  const words = part.querySelector("[role=status]");
  const form = part.querySelector("form");
  const show = (rating) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === rating)));
  let kept = null;
  let comment = "";

  async function send(rating, said) {
    show(rating);
    words.textContent = "";
    try {
      const response = await fetch("/v1/feedback", {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${await ticket()}` },
        body: JSON.stringify({ request_id: requestId, rating, comment: said || undefined }),
      });
      if (!response.ok) throw new Error((await response.json()).error.message);
      kept = rating;
      comment = said;
      form.hidden = false;
      words.textContent = said ? "Comment kept." : "";
    } catch (error) {
      show(kept);
      words.textContent = error instanceof TypeError ? "The connection to the gateway broke off." : error.message;
    }
  }

  for (const button of buttons) button.addEventListener("click", () => send(button.value, comment));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(kept, form.elements.comment.value.trim());
  });
  return part;
}
