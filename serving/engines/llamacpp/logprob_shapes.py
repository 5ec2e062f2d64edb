"""Log probabilities in OpenAI's two shapes: that of chats and that of text completions."""

from collections.abc import Sequence
from typing import Any

from .logprobs import TokenLogprobs
from .model import Model


def chat_logprobs(model: Model, tokens: Sequence[TokenLogprobs]) -> dict[str, Any]:
    """`{"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal"}`."""
    content = []
    for one in tokens:
        top = [_entry(model, token, logprob) for token, logprob in one.top]
        content.append(_entry(model, one.token, one.logprob) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def text_logprobs(model: Model, tokens: Sequence[TokenLogprobs], offset: int) -> dict[str, Any]:
    """`{"tokens", "token_logprobs", "top_logprobs", "text_offset"}`; `offset` is the first token's in the text."""
    texts = [_text(model, one.token) for one in tokens]
    offsets = []
    for text in texts:
        offsets.append(offset)
        offset += len(text)
    # As OpenAI does, the picked token is listed even if it was not among the likeliest.
    tops = [{_text(model, token): logprob for token, logprob in (*one.top, (one.token, one.logprob))} for one in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [one.logprob for one in tokens],
        "top_logprobs": tops,
        "text_offset": offsets,
    }


def _entry(model: Model, token: int, logprob: float) -> dict[str, Any]:
    return {"token": _text(model, token), "logprob": logprob, "bytes": list(model.token_bytes(token))}


def _text(model: Model, token: int) -> str:
    return model.token_bytes(token).decode("utf-8", "replace")
