"""The least that a model can be asked to do, by what it is made for: text, embeddings, or scores of pairs of texts."""

import re
from typing import Any, NamedTuple

import orjson


class Probe(NamedTuple):
    """A request to `path` but for the model's name, and the list without which an answer to it is none."""

    path: str
    body: dict[str, Any]
    answer: str


# In this order until one suits the model; most are made for text.
PROBES = (
    Probe("/v1/completions", {"prompt": "Hello", "max_tokens": 1, "temperature": 0}, "choices"),
    Probe("/v1/embeddings", {"input": "Hello"}, "data"),
    Probe("/v1/score", {"text_1": "Hello", "text_2": "Hello"}, "data"),
)
# vLLM has no route for what its model is not made for; that it does not know an adapter it says in other words.
_NO_SUCH_PATH = re.compile(rb'"(?:detail|message)": ?"Not Found"')


def is_about_the_path(answer: bytes) -> bool:
    """Whether a 404 says that an engine knows nothing by the path at which it was asked, rather than no such model."""
    return _NO_SUCH_PATH.search(answer) is not None


def is_made_for_else(status: int, answer: bytes) -> bool:
    """Whether an engine refused a probe because its model is made for something else."""
    if status == 404:
        return is_about_the_path(answer)
    try:
        # So says the llama.cpp host; an adapter that it does not know is a 404.
        return status == 400 and bool(orjson.loads(answer)["error"]["param"] == "model")
    except (ValueError, KeyError, TypeError):
        return False
