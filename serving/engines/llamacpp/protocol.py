"""Parses OpenAI-shaped requests into typed ones; what cannot be honoured is refused by name."""

from dataclasses import dataclass
from typing import Any

import orjson

from .errors import BadRequest
from .fields import Fields
from .sampling import SamplingParams

MOST_CHOICES = 16
_MOST_STOPS = 16
_LONGEST_STOP = 256
_INT64 = 2**63 - 1

# They change nothing in the answer, whatever they say.
_WITHOUT_EFFECT = frozenset(
    {"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}
)
# They are fine while they ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_generation_prompt": (True,),
    "audio": (),
    "best_of": (1,),
    "chat_template": (),
    "continue_final_message": (False,),
    "echo": (False,),
    "functions": ([],),
    "function_call": ("none",),
    "guided_json": (),
    "include_stop_str_in_output": (False,),
    "logprobs": (False,),
    "length_penalty": (1, 1.0),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "prediction": (),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "skip_special_tokens": (True,),
    "stop_token_ids": ([],),
    "store": (False,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "typical_p": (1, 1.0),
    "use_beam_search": (False,),
}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A chat or text completion request, checked. Exactly one of `messages` and `prompts` is given."""

    model: str
    messages: list[dict[str, Any]] | None
    prompts: list[str | list[int]] | None
    sampling: SamplingParams
    stops: tuple[str, ...]
    max_tokens: int | None
    choices: int
    ignore_eos: bool
    priority: int
    stream: bool
    include_usage: bool


def parse_json(body: bytes) -> Any:
    """Any JSON value; BadRequest otherwise."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request's body is not valid JSON: {error}.") from error


def parse_chat(body: bytes) -> CompletionRequest:
    """A `POST /v1/chat/completions` body."""
    fields = Fields(parse_json(body))
    messages = _messages(fields.raw("messages"))
    max_tokens = fields.integer("max_completion_tokens", 1, _INT64)
    return _request(fields, messages=messages, prompts=None, max_tokens=max_tokens)


def parse_completion(body: bytes) -> CompletionRequest:
    """A `POST /v1/completions` body."""
    fields = Fields(parse_json(body))
    return _request(fields, messages=None, prompts=_prompts(fields.raw("prompt")), max_tokens=None)


def parse_adapter(body: bytes) -> tuple[str, str]:
    """`lora_name` and `lora_path` of a load or unload request; empty if absent."""
    fields = Fields(parse_json(body))
    name, path = fields.text("lora_name"), fields.text("lora_path")
    fields.refuse_left_over({"load_inplace": (False,)}, frozenset({"lora_int_id"}))
    return name or "", path or ""


def _request(
    fields: Fields,
    *,
    messages: list[dict[str, Any]] | None,
    prompts: list[str | list[int]] | None,
    max_tokens: int | None,
) -> CompletionRequest:
    model = fields.text("model")
    if not model:
        raise BadRequest("`model` is required.", param="model")
    stream = fields.flag("stream")
    # Only its presence matters here: outputs never share cached state with others.
    fields.text("cache_salt", longest=128)
    request = CompletionRequest(
        model=model,
        messages=messages,
        prompts=prompts,
        sampling=_sampling(fields),
        stops=_stops(fields.raw("stop")),
        max_tokens=max_tokens if max_tokens is not None else fields.integer("max_tokens", 1, _INT64),
        choices=fields.integer("n", 1, MOST_CHOICES) or 1,
        ignore_eos=fields.flag("ignore_eos"),
        priority=fields.integer("priority", -_INT64, _INT64) or 0,
        stream=stream,
        include_usage=_include_usage(fields.raw("stream_options"), stream=stream),
    )
    if max_tokens is not None:
        fields.raw("max_tokens")
    fields.refuse_left_over(_NEUTRAL, _WITHOUT_EFFECT)
    return request


def _sampling(fields: Fields) -> SamplingParams:
    top_k = fields.integer("top_k", -1, _INT64) or 0
    repetition = fields.number("repetition_penalty", 1.0, 0.0, 100.0, above=True)
    return SamplingParams(
        temperature=fields.number("temperature", 1.0, 0.0, 2.0),
        top_p=fields.number("top_p", 1.0, 0.0, 1.0, above=True),
        top_k=0 if top_k < 0 else min(top_k, 2**31 - 1),
        min_p=fields.number("min_p", 0.0, 0.0, 1.0),
        seed=fields.integer("seed", -_INT64, _INT64),
        presence_penalty=fields.number("presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2.0, 2.0),
        # llama.cpp's name for the same thing.
        repetition_penalty=fields.number("repeat_penalty", repetition, 0.0, 100.0, above=True),
        logit_bias=_logit_bias(fields.raw("logit_bias")),
    )


def _logit_bias(value: Any) -> tuple[tuple[int, float], ...]:
    if value is None:
        return ()
    problem = BadRequest("`logit_bias` must map token ids to numbers from -100 to 100.", param="logit_bias")
    if not isinstance(value, dict):
        raise problem
    for token, bias in value.items():
        fits = isinstance(bias, int | float) and not isinstance(bias, bool) and -100 <= bias <= 100
        if not fits or not token.isdecimal():
            raise problem
    return tuple((int(token), float(bias)) for token, bias in value.items())


def _stops(value: Any) -> tuple[str, ...]:
    stops = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise BadRequest("`stop` must be a non-empty string or a list of them.", param="stop")
    if len(stops) > _MOST_STOPS or any(len(stop) > _LONGEST_STOP for stop in stops):
        raise BadRequest(f"`stop` may hold {_MOST_STOPS} strings of {_LONGEST_STOP} characters at most.", param="stop")
    return tuple(stops)


def _include_usage(value: Any, *, stream: bool) -> bool:
    if value is None:
        return False
    if not stream:
        raise BadRequest("`stream_options` needs `stream: true`.", param="stream_options")
    options = Fields(value)
    include = options.flag("include_usage")
    options.refuse_left_over({"continuous_usage_stats": (False,)}, frozenset({"include_obfuscation"}))
    return include


def _prompts(value: Any) -> list[str | list[int]]:
    if isinstance(value, str) or (isinstance(value, list) and value and _all_tokens(value)):
        return [value]
    if isinstance(value, list) and value and all(isinstance(one, str) or _all_tokens(one) for one in value):
        if len(value) > MOST_CHOICES:
            raise BadRequest(f"`prompt` may hold {MOST_CHOICES} prompts at most.", param="prompt")
        return value
    raise BadRequest("`prompt` must be a string, a list of token ids, or a list of either.", param="prompt")


def _all_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(type(token) is int and token >= 0 for token in value)


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise BadRequest("`messages` must be a non-empty list.", param="messages")
    return [_message(message, f"messages[{at}]") for at, message in enumerate(value)]


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest(f"`{where}` must be an object with a `role`.", param=where)
    content = message.get("content")
    if content is None or isinstance(content, str):
        return message | {"content": content or ""}
    # Text in parts is joined, as templates written for strings expect.
    if not isinstance(content, list) or not all(map(_is_text, content)):
        raise BadRequest(f"`{where}.content` must be a string or a list of text parts.", param=f"{where}.content")
    return message | {"content": "\n".join(part["text"] for part in content)}


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
