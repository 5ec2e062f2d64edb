"""Parses OpenAI-shaped requests into typed ones; what cannot be honoured is refused by name."""

from dataclasses import dataclass
from typing import Any

import orjson

from .errors import BadRequest, UnsupportedParameter
from .fields import INT64, Fields
from .messages import read_messages, read_prompts
from .sampling import SamplingParams
from .sampling_fields import read_sampling, read_stops
from .structure import ResponseFormat, Tools, read_response_format, read_tools

MOST_CHOICES = 16
_MOST_LOGPROBS = 20

# They change nothing in the answer, whatever they say.
_WITHOUT_EFFECT = frozenset({"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"})
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
    "parallel_tool_calls": (True, False),
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
    "use_beam_search": (False,),
}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A chat or text completion request, checked. Exactly one of `messages` and `prompts` is given.

    `logprobs` is how many of the likeliest tokens to tell at each place; None tells nothing.
    """

    model: str
    messages: list[dict[str, Any]] | None
    prompts: list[str | list[int]] | None
    sampling: SamplingParams
    stops: tuple[str, ...]
    max_tokens: int | None
    choices: int
    ignore_eos: bool
    priority: int
    salt: str
    logprobs: int | None
    echo: bool
    suffix: str | None
    response_format: ResponseFormat | None
    tools: Tools | None
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
    messages = read_messages(fields.raw("messages"))
    response_format, tools = read_response_format(fields.raw("response_format")), read_tools(fields)
    if tools is not None and tools.must_call and response_format is not None:
        raise UnsupportedParameter("`response_format` cannot go with a required tool.", param="response_format")
    longest, legacy = fields.integer("max_completion_tokens", 1, INT64), fields.integer("max_tokens", 1, INT64)
    return _request(
        fields,
        messages=messages,
        max_tokens=legacy if longest is None else longest,
        logprobs=_chat_logprobs(fields),
        response_format=response_format,
        tools=tools,
    )


def parse_completion(body: bytes) -> CompletionRequest:
    """A `POST /v1/completions` body."""
    fields = Fields(parse_json(body))
    return _request(
        fields,
        prompts=read_prompts(fields.raw("prompt"), most=MOST_CHOICES),
        max_tokens=fields.integer("max_tokens", 1, INT64),
        logprobs=fields.integer("logprobs", 0, _MOST_LOGPROBS),
        echo=fields.flag("echo"),
        suffix=fields.text("suffix") or None,
        response_format=read_response_format(fields.raw("response_format")),
    )


def parse_adapter(body: bytes) -> tuple[str, str]:
    """`lora_name` and `lora_path` of a load or unload request; empty if absent."""
    fields = Fields(parse_json(body))
    name, path = fields.text("lora_name"), fields.text("lora_path")
    fields.refuse_left_over({"load_inplace": (False,)}, frozenset({"lora_int_id"}))
    return name or "", path or ""


def _request(
    fields: Fields,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    response_format: ResponseFormat | None,
    messages: list[dict[str, Any]] | None = None,
    prompts: list[str | list[int]] | None = None,
    echo: bool = False,
    suffix: str | None = None,
    tools: Tools | None = None,
) -> CompletionRequest:
    stream = fields.flag("stream")
    request = CompletionRequest(
        model=read_model(fields),
        messages=messages,
        prompts=prompts,
        sampling=read_sampling(fields),
        stops=read_stops(fields.raw("stop")),
        max_tokens=max_tokens,
        choices=fields.integer("n", 1, MOST_CHOICES) or 1,
        ignore_eos=fields.flag("ignore_eos"),
        priority=fields.integer("priority", -INT64, INT64) or 0,
        salt=fields.text("cache_salt", longest=128) or "",
        logprobs=logprobs,
        echo=echo,
        suffix=suffix,
        response_format=response_format,
        tools=tools,
        stream=stream,
        include_usage=_include_usage(fields.raw("stream_options"), stream=stream),
    )
    fields.refuse_left_over(_NEUTRAL, _WITHOUT_EFFECT)
    _refuse_contradictions(request)
    return request


def read_model(fields: Fields) -> str:
    """The name of the model that a request is for."""
    model = fields.text("model")
    if not model:
        raise BadRequest("`model` is required.", param="model")
    return model


def _refuse_contradictions(request: CompletionRequest) -> None:
    constrained = request.response_format or (request.tools and request.tools.must_call)
    if request.ignore_eos and constrained:
        raise UnsupportedParameter("`ignore_eos` cannot go with an output whose form is given.", param="ignore_eos")
    if request.echo and request.logprobs is not None:
        raise UnsupportedParameter("`echo` cannot go with `logprobs`: prompts have none here.", param="echo")


def _chat_logprobs(fields: Fields) -> int | None:
    wanted, top = fields.flag("logprobs"), fields.integer("top_logprobs", 0, _MOST_LOGPROBS)
    if top and not wanted:
        raise BadRequest("`top_logprobs` needs `logprobs: true`.", param="top_logprobs")
    return (top or 0) if wanted else None


def _include_usage(value: Any, *, stream: bool) -> bool:
    if value is None:
        return False
    if not stream:
        raise BadRequest("`stream_options` needs `stream: true`.", param="stream_options")
    options = Fields(value)
    include = options.flag("include_usage")
    options.refuse_left_over({"continuous_usage_stats": (False,)}, frozenset({"include_obfuscation"}))
    return include
