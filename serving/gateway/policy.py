"""What the fields of a request body may say: one table, applied before an engine sees anything.

replaced   model                 by the engine's name for it
           cache_salt            by the department's: prefix caches of departments stay apart
           stream_options        when streaming: usage is always counted, and hidden from who did not ask
dropped    DROPPED               the platform's own business; the answer is the same without
refused    REFUSED               they reach into the engine, and without them the answer would be another
           chat_template_kwargs  all but the switches in ALLOWED_TEMPLATE_SWITCHES, likewise
           media                 see `media`
capped     CAPS                  numbers: one request must not be thousands
           TOKEN_FIELDS          at POLYGRAFT_MAX_OUTPUT_TOKENS, which also holds where the request is silent
           MAX_ITEMS             lists: how long they may be
           stop, stop_sequences  also at MAX_STOP_LENGTH characters each
           prompt                as a list of prompts at MAX_PROMPTS
           texts                 at POLYGRAFT_MAX_TEXT_CHARS each, see `texts`

What only Anthropic's Messages and OpenAI's Responses have is in `messages_policy` and `responses_policy`.
"""

from collections.abc import Callable, Iterable
from typing import Any

from serving.gateway.errors import InvalidValue
from serving.gateway.policies.media import CONTENT_FIELDS, Media
from serving.gateway.policies.messages import apply_messages_policy
from serving.gateway.policies.responses import apply_responses_policy
from serving.gateway.policies.texts import Texts

DROPPED = frozenset(
    {
        *("priority", "cache_salt", "request_id", "session_id", "watermarking"),
        *("kv_transfer_params", "ec_transfer_params", "vllm_xargs", "routed_experts_prompt_start"),
        *("mm_payload", "return_mm_kwargs", "enable_response_messages"),
    }
)
REFUSED = frozenset(
    {
        *("prompt_embeds", "chat_template", "logits_processors", "mm_processor_kwargs", "media_io_kwargs"),
        "previous_input_messages",
    }
)
ALLOWED_TEMPLATE_SWITCHES = frozenset({"enable_thinking", "thinking", "reasoning_effort"})
# Field → the largest integer it may be.
CAPS = {"n": 16, "best_of": 16, "logprobs": 20, "top_logprobs": 20, "prompt_logprobs": 20}
TOKEN_FIELDS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens"})
# Field → the most items that it may have.
MAX_ITEMS = {
    "messages": 4096,
    "input": 4096,
    "tools": 1024,
    "stop": 16,
    "stop_sequences": 16,
    "stop_token_ids": 256,
    "bad_words": 256,
    "allowed_token_ids": 4096,
    "logprob_token_ids": 20,
    "logit_bias": 1024,
    **dict.fromkeys(("documents", "queries", "items", "data_1", "data_2", "text_1", "text_2"), 1024),
}
MAX_PROMPTS = 64
MAX_STOP_LENGTH = 256

_STOPS = frozenset({"stop", "stop_sequences"})
# The field that says how long an answer may get, for those endpoints that go on to the end of the context without it.
_LENGTH = {"/v1/chat/completions": "max_tokens", "/v1/responses": "max_output_tokens"}
_OWN = {
    "/v1/messages": apply_messages_policy,
    "/v1/messages/count_tokens": apply_messages_policy,
    "/v1/responses": apply_responses_policy,
}


class Policy:
    """The table, with what a platform has set.

    Args:
        max_output_tokens: the most tokens that a request may ask for; None: as many as the engine allows.
        max_text_chars: the most characters of one text; None: as many as a body holds.
        media_hosts: the hosts from which engines may fetch media.
    """

    def __init__(
        self, *, max_output_tokens: int | None, max_text_chars: int | None, media_hosts: Iterable[str]
    ) -> None:
        self._most_tokens = max_output_tokens
        self._texts = None if max_text_chars is None else Texts(max_text_chars)
        self._media = Media(media_hosts)
        # Field → what looks at its value. One look-up for each field, since every request comes by here.
        self._checks: dict[str, Callable[[str, Any], None]] = {
            **dict.fromkeys(REFUSED, _refuse),
            **dict.fromkeys(CAPS, _check_cap),
            **dict.fromkeys(TOKEN_FIELDS, self._check_tokens),
            **dict.fromkeys(MAX_ITEMS, _check_items),
            **dict.fromkeys(_STOPS, _check_stops),
            **dict.fromkeys(CONTENT_FIELDS, self._check_content),
            "chat_template_kwargs": _check_template_switches,
            "prompt": _check_prompts,
        }

    def apply(self, endpoint: str, body: dict[str, Any]) -> None:
        """Bring a body in line with the table, in place; the fields that are replaced are left to who replaces them.

        Raises:
            InvalidValue: a field is refused or over its cap.
        """
        checks = self._checks
        for field, value in list(body.items()):
            check = checks.get(field)
            if check is not None:
                if value is not None:
                    check(field, value)
            elif field in DROPPED:
                del body[field]
        if self._texts is not None:
            self._texts.check(body)
        if self._most_tokens is not None:
            self._limit_silent(endpoint, body)
        if (apply := _OWN.get(endpoint)) is not None:
            apply(body)

    def _check_tokens(self, field: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue(f"'{field}' must be a whole number.", param=field)
        if self._most_tokens is not None and value > self._most_tokens:
            raise InvalidValue(
                f"'{field}' is {value}; at most {self._most_tokens} are allowed on this platform.", param=field
            )

    def _check_content(self, field: str, value: Any) -> None:
        if field in MAX_ITEMS:
            _check_items(field, value)
        self._media.check(field, value)

    def _limit_silent(self, endpoint: str, body: dict[str, Any]) -> None:
        field = _LENGTH.get(endpoint)
        if field is not None and all(body.get(one) is None for one in TOKEN_FIELDS - {"min_tokens"}):
            body[field] = self._most_tokens


def _refuse(field: str, _: object) -> None:
    raise InvalidValue(f"'{field}' is not supported on this platform. Leave it out.", param=field)


def _check_cap(field: str, value: object) -> None:
    if value is False or value is True:
        return  # `logprobs` of chat completions is a switch
    cap = CAPS[field]
    if not isinstance(value, int) or not 0 <= value <= cap:
        raise InvalidValue(f"'{field}' must be an integer from 0 to {cap}.", param=field)


def _check_items(field: str, value: Any) -> None:
    if not isinstance(value, list | dict):
        return
    most = MAX_ITEMS[field]
    # A list of tokens is one input.
    if len(value) > most and not (field == "input" and isinstance(value, list) and isinstance(value[0], int)):
        raise InvalidValue(f"'{field}' has {len(value)} items; at most {most} are allowed.", param=field)


def _check_stops(field: str, value: object) -> None:
    _check_items(field, value)
    for stop in value if isinstance(value, list) else [value]:
        if not isinstance(stop, str) or len(stop) > MAX_STOP_LENGTH:
            raise InvalidValue(f"'{field}' takes strings of at most {MAX_STOP_LENGTH} characters.", param=field)


def _check_prompts(_: str, prompt: object) -> None:
    if isinstance(prompt, list) and len(prompt) > MAX_PROMPTS and not isinstance(prompt[0], int):
        raise InvalidValue(
            f"'prompt' has {len(prompt)} prompts; at most {MAX_PROMPTS} go into one request.", param="prompt"
        )


def _check_template_switches(_: str, value: object) -> None:
    if not isinstance(value, dict):
        raise InvalidValue("'chat_template_kwargs' must be an object.", param="chat_template_kwargs")
    for name, switch in value.items():
        if name not in ALLOWED_TEMPLATE_SWITCHES or not isinstance(switch, bool | str):
            allowed = ", ".join(sorted(ALLOWED_TEMPLATE_SWITCHES))
            raise InvalidValue(
                f"'chat_template_kwargs.{name}' is not supported on this platform; allowed are: {allowed}.",
                param="chat_template_kwargs",
            )
