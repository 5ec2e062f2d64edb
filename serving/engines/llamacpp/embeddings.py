"""`POST /v1/embeddings`: reads the request, computes one input after the other, writes OpenAI's reply."""

import asyncio
import base64
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from .adapters import AdapterRegistry
from .embedder import Embedder
from .errors import BadRequest, ContextLengthExceeded
from .fields import Fields
from .intake import Intake
from .messages import read_prompts
from .protocol import parse_json, read_model
from .scheduler import Scheduler

_MOST_INPUTS = 256


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What is to be embedded by which model."""

    model: str
    inputs: list[str | list[int]]
    base64: bool


def parse_embeddings(body: bytes) -> EmbeddingRequest:
    """The body of a request."""
    fields = Fields(parse_json(body))
    encoding = fields.text("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise BadRequest("`encoding_format` must be float or base64.", param="encoding_format")
    model, inputs = read_model(fields), read_prompts(fields.raw("input"), most=_MOST_INPUTS, name="input")
    fields.refuse_left_over({"dimensions": ()}, frozenset({"user", "cache_salt", "priority"}))
    return EmbeddingRequest(model, inputs, base64=encoding == "base64")


class Embeddings:
    """Belongs to the event loop; between two inputs other requests get their turns."""

    def __init__(self, intake: Intake, registry: AdapterRegistry, scheduler: Scheduler, embedder: Embedder) -> None:
        self._intake = intake
        self._registry = registry
        self._scheduler = scheduler
        self._embedder = embedder

    async def answer(self, request: EmbeddingRequest) -> dict[str, Any]:
        """OpenAI's reply; BadRequest if the model has no embeddings."""
        adapter = self._registry.get(request.model)
        if not self._intake.model.makes_embeddings:
            raise BadRequest(f"The model `{request.model}` does not make embeddings.", param="model")
        inputs = [await self._intake.prompt(one, param="input") for one in request.inputs]
        for tokens in inputs:
            if len(tokens) > self._intake.limit:
                raise ContextLengthExceeded(f"An input has {len(tokens)} tokens, of {self._intake.limit} at most.")
        data = []
        for index, tokens in enumerate(inputs):
            job = self._scheduler.call(functools.partial(self._embedder.embed, adapter, tokens))
            vector = await asyncio.wrap_future(job)
            embedding = _packed(vector) if request.base64 else vector
            data.append({"object": "embedding", "index": index, "embedding": embedding})
        total = sum(map(len, inputs))
        usage = {"prompt_tokens": total, "total_tokens": total}
        return {"object": "list", "data": data, "model": request.model, "usage": usage}


def _packed(vector: list[float]) -> str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
