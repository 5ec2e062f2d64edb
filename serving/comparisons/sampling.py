"""How the candidates of a comparison are made to answer: greedily, unless somebody wishes otherwise."""

from typing import Any

MOST_TOKENS = 32_768
LARGEST_SEED = 2**31 - 1


def sampling_of(
    *, temperature: float = 0, max_tokens: int = 256, top_p: float | None = None, seed: int | None = None
) -> dict[str, Any]:
    """The fields that every request of a comparison carries."""
    given = {"temperature": temperature, "max_tokens": max_tokens, "top_p": top_p, "seed": seed}
    return {name: value for name, value in given.items() if value is not None}
