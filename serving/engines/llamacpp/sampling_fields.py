"""Reads what a request says about sampling: names, ranges and defaults are vLLM's."""

from typing import Any

from .errors import BadRequest
from .fields import INT64, Fields
from .sampling import SamplingParams

_MOST_STOPS = 16
_LONGEST_STOP = 256


def read_sampling(fields: Fields) -> SamplingParams:
    """The sampling parameters."""
    top_k = fields.integer("top_k", -1, INT64) or 0
    repetition = fields.number("repetition_penalty", 1.0, 0.0, 100.0, above=True)
    return SamplingParams(
        temperature=fields.number("temperature", 1.0, 0.0, 2.0),
        top_p=fields.number("top_p", 1.0, 0.0, 1.0, above=True),
        top_k=0 if top_k < 0 else min(top_k, 2**31 - 1),
        min_p=fields.number("min_p", 0.0, 0.0, 1.0),
        typical_p=fields.number("typical_p", 1.0, 0.0, 1.0, above=True),
        seed=fields.integer("seed", -INT64, INT64),
        presence_penalty=fields.number("presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2.0, 2.0),
        # llama.cpp's name for the same thing.
        repetition_penalty=fields.number("repeat_penalty", repetition, 0.0, 100.0, above=True),
        logit_bias=_logit_bias(fields.raw("logit_bias")),
    )


def read_stops(value: Any) -> tuple[str, ...]:
    """The stop strings."""
    stops = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise BadRequest("`stop` must be a non-empty string or a list of them.", param="stop")
    if len(stops) > _MOST_STOPS or any(len(stop) > _LONGEST_STOP for stop in stops):
        raise BadRequest(f"`stop` may hold {_MOST_STOPS} strings of {_LONGEST_STOP} characters at most.", param="stop")
    return tuple(stops)


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
