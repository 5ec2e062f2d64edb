"""An engine that gateways and the platform believe in, without one running."""

from typing import Any

from cast import Cast
from polygraft.live import redis_client
from serving.fleet.registry import EngineEntry, engine_publish


def publish_engine(cast: Cast, **fields: Any) -> None:
    """Have Redis say that a ready llama.cpp engine of the cast's base model runs, or one with other fields."""
    usual = {"id": "e", "node": "node-1", "kind": "llamacpp", "state": "ready", "address": "127.0.0.1:1", "secret": "s"}
    base = {"base_model_id": cast.base_model.pk, "base_model": "smollm2"}
    engine_publish(redis_client(), EngineEntry(**{**usual, **base, **fields}))
