"""Counts of tokens in the words of each dialect, to and from those of chat completions."""

from typing import Any

Usage = dict[str, Any]


def number(value: object) -> int:
    """A count, 0 for anything that is none."""
    return value if isinstance(value, int) and value > 0 else 0


def cached_tokens(usage: Usage) -> int:
    """How many of a prompt's tokens a chat completion found in its cache."""
    details = usage.get("prompt_tokens_details")
    return number(details.get("cached_tokens")) if isinstance(details, dict) else 0


def chat_usage(prompt: object, completion: object, cached: object) -> Usage:
    """Usage as chat completions tell it; `prompt` includes what was cached."""
    return {
        "prompt_tokens": number(prompt),
        "completion_tokens": number(completion),
        "prompt_tokens_details": {"cached_tokens": number(cached)},
    }


def messages_usage(usage: Usage) -> Usage:
    """Anthropic's usage, whose `input_tokens` leaves out what was cached."""
    cached = cached_tokens(usage)
    return {
        "input_tokens": max(0, number(usage.get("prompt_tokens")) - cached),
        "output_tokens": number(usage.get("completion_tokens")),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
    }


def usage_of_messages(usage: Usage) -> Usage:
    """Usage as chat completions tell it, from Anthropic's."""
    cached = number(usage.get("cache_read_input_tokens"))
    prompt = number(usage.get("input_tokens")) + cached + number(usage.get("cache_creation_input_tokens"))
    return chat_usage(prompt, usage.get("output_tokens"), cached)


def responses_usage(usage: Usage) -> Usage:
    """The usage of OpenAI's Responses."""
    prompt, completion = number(usage.get("prompt_tokens")), number(usage.get("completion_tokens"))
    details = usage.get("completion_tokens_details")
    reasoning = number(details.get("reasoning_tokens")) if isinstance(details, dict) else 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached_tokens(usage), "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + completion,
    }


def usage_of_responses(usage: Usage) -> Usage:
    """Usage as chat completions tell it, from that of OpenAI's Responses."""
    details = usage.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return chat_usage(usage.get("input_tokens"), usage.get("output_tokens"), cached)
