// Asks a model through the gateway and hands its answer on, piece by piece, with what was measured on the way.
import { events } from "./events.js";

export class ModelError extends Error {}

async function refusal(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The gateway answered with status ${response.status}.`;
  }
}

// `onText(piece)` is called for each piece. Resolves to {text, facts, requestId}; rejects with a ModelError, or an AbortError.
export async function answer({ ticket, model, messages, parameters, signal, onText }) {
  const start = performance.now();
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    signal,
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${await ticket()}` },
    body: JSON.stringify({ model, messages, ...parameters, stream: true, stream_options: { include_usage: true } }),
  });
  if (!response.ok) throw new ModelError(await refusal(response));
  let text = "";
  let first = null;
  let usage = null;
  let finish = null;
  for await (const event of events(response.body)) {
    if (event.error) throw new ModelError(event.error.message);
    usage = event.usage ?? usage;
    const choice = event.choices?.[0];
    finish = choice?.finish_reason ?? finish;
    const piece = choice?.delta?.content;
    if (!piece) continue;
    first ??= performance.now();
    text += piece;
    onText(piece);
  }
  if (!finish) throw new ModelError("The answer broke off before its end.");
  const end = performance.now();
  const { headers } = response;
  return { text, facts: facts({ start, first, end, usage, finish, headers }), requestId: headers.get("x-request-id") };
}

function facts({ start, first, end, usage, finish, headers }) {
  const words = [];
  if (first) words.push(`first token ${Math.round(first - start)} ms`);
  if (first && usage?.completion_tokens > 1) {
    words.push(`${((1000 * (usage.completion_tokens - 1)) / Math.max(end - first, 1)).toFixed(1)} tokens/s`);
  }
  if (usage) words.push(`${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out`);
  if (finish === "length") words.push("stopped at the limit");
  const [model, engine] = [headers.get("x-polygraft-model"), headers.get("x-polygraft-engine")];
  if (model) words.push(engine ? `${model} on ${engine}` : model);
  const fallback = headers.get("x-polygraft-fallback");
  if (fallback) words.push(`fallback: ${fallback}`);
  return words;
}
