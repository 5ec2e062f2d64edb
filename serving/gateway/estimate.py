"""Guesses before an engine has counted: how many tokens a request may take."""

from typing import Any

# Of English and of code about four bytes make a token; text of other scripts has fewer tokens per byte, not more.
_BYTES_PER_TOKEN = 4
_LENGTHS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
WITHOUT_COMPLETION = frozenset({"/v1/embeddings", "/v1/rerank", "/v1/score", "/tokenize", "/v1/messages/count_tokens"})


def estimate_prompt(body_bytes: int) -> int:
    """How many tokens the prompt of a request has, from the size of its body."""
    return body_bytes // _BYTES_PER_TOKEN + 1


def longest_completion(endpoint: str, body: dict[str, Any]) -> int | None:
    """How many tokens the answer may have at most by the request's own words; None: it does not say."""
    if endpoint in WITHOUT_COMPLETION:
        return 0
    for field in _LENGTHS:
        length = body.get(field)
        if isinstance(length, int) and length > 0:
            choices = body.get("n")
            return length * choices if isinstance(choices, int) and choices > 1 else length
    return None
