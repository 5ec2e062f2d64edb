// Two thumbs below an answer; the one that is pressed last counts.

export function thumbs(requestId, ticket) {
  const part = document.getElementById("thumbs").content.firstElementChild.cloneNode(true);
  const buttons = [...part.querySelectorAll("button")];
  const words = part.querySelector("[role=status]");
  const show = (rating) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === rating)));
  let kept = null;

  async function send(rating) {
    show(rating);
    words.textContent = "";
    try {
      const response = await fetch("/v1/feedback", {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${await ticket()}` },
        body: JSON.stringify({ request_id: requestId, rating }),
      });
      if (!response.ok) throw new Error((await response.json()).error.message);
      kept = rating;
    } catch (error) {
      show(kept);
      words.textContent = error instanceof TypeError ? "The connection to the gateway broke off." : error.message;
    }
  }

  for (const button of buttons) button.addEventListener("click", () => send(button.value));
  return part;
}
