"""What the fields of a request body may say: one table, applied before an engine sees anything.

replaced   model                 by the engine's name for it
           cache_salt            by the department's: prefix caches of departments stay apart
           stream_options        when streaming: usage is always counted, and hidden from who did not ask
dropped    priority, request_id, kv_transfer_params, vllm_xargs
                                 the platform's own business; the answer is the same without
refused    prompt_embeds, chat_template, logits_processors, mm_processor_kwargs, media_io_kwargs
                                 they reach into the engine, and without them the answer would be another
           chat_template_kwargs  all but the switches in ALLOWED_TEMPLATE_SWITCHES, likewise
           media by address      engines would fetch any address for any caller; `data:` URLs are taken
capped     n, best_of, logprobs, top_logprobs, prompt_logprobs
                                 at CAPS: one request must not be thousands
           prompt                as a list of prompts at MAX_PROMPTS, likewise
"""

from typing import Any

from serving.gateway.errors import InvalidValue

DROPPED = frozenset({"priority", "request_id", "kv_transfer_params", "vllm_xargs"})
REFUSED = frozenset({"prompt_embeds", "chat_template", "logits_processors", "mm_processor_kwargs", "media_io_kwargs"})
ALLOWED_TEMPLATE_SWITCHES = frozenset({"enable_thinking", "thinking", "reasoning_effort"})
# Field → the largest integer it may be.
CAPS = {"n": 16, "best_of": 16, "logprobs": 20, "top_logprobs": 20, "prompt_logprobs": 20}
MAX_PROMPTS = 64

_SPECIAL = DROPPED | REFUSED | CAPS.keys() | {"chat_template_kwargs"}


def apply_policy(body: dict[str, Any]) -> None:
    """Bring a body in line with the table, in place; the fields that are replaced are not touched here.

    Raises:
        InvalidValue: a field is refused or over its cap.
    """
    for field in _SPECIAL & body.keys():
        if field in DROPPED:
            del body[field]
        elif field in REFUSED:
            if body[field] is not None:
                raise InvalidValue(f"'{field}' is not supported on this platform. Leave it out.", param=field)
            del body[field]
        elif field in CAPS:
            _check_cap(field, body[field])
        else:
            _check_template_switches(body[field])
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) > MAX_PROMPTS and not isinstance(prompt[0], int):
        raise InvalidValue(
            f"'prompt' has {len(prompt)} prompts; at most {MAX_PROMPTS} go into one request.", param="prompt"
        )
    messages = body.get("messages")
    if isinstance(messages, list):
        for index, message in enumerate(messages):
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, list):
                _check_parts(content, f"messages[{index}].content")


def _check_cap(field: str, value: object) -> None:
    if value is None or value is False or value is True:
        return  # `logprobs` of chat completions is a switch
    cap = CAPS[field]
    if not isinstance(value, int) or not 0 <= value <= cap:
        raise InvalidValue(f"'{field}' must be an integer from 0 to {cap}.", param=field)


def _check_template_switches(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise InvalidValue("'chat_template_kwargs' must be an object.", param="chat_template_kwargs")
    for name, switch in value.items():
        if name not in ALLOWED_TEMPLATE_SWITCHES or not isinstance(switch, bool | str):
            allowed = ", ".join(sorted(ALLOWED_TEMPLATE_SWITCHES))
            raise InvalidValue(
                f"'chat_template_kwargs.{name}' is not supported on this platform; allowed are: {allowed}.",
                param="chat_template_kwargs",
            )


def _check_parts(parts: list[Any], where: str) -> None:
    for part in parts:
        if not isinstance(part, dict):
            continue
        for name, value in part.items():
            if not name.endswith("url"):
                continue
            url = value.get("url") if isinstance(value, dict) else value
            if url is not None and not (isinstance(url, str) and url.startswith("data:")):
                raise InvalidValue(
                    f"'{where}' refers to media by address. Send it inline, as a 'data:' URL.", param="messages"
                )
