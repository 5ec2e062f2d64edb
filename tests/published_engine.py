"""Engines that gateways and the platform believe in, without an agent that looks after them."""

import time
from dataclasses import replace
from typing import Any

from cast import Cast
from polygraft.live import redis_client
from serving.fleet.registry import ENGINES_KEY, EngineEntry, _publish


def publish_for_good(entry: EngineEntry) -> None:
    """Enter an engine in the registry as if its agent went on renewing the entry, however long the test takes."""
    _publish(redis_client(), ENGINES_KEY, entry.id, replace(entry, seen_at=time.time() + 3600))


def publish_engine(cast: Cast, **fields: Any) -> None:
    """Have Redis say that a ready llama.cpp engine of the cast's base model runs, or one with other fields."""
    usual = {"id": "e", "node": "node-1", "kind": "llamacpp", "state": "ready", "address": "127.0.0.1:1", "secret": "s"}
    base = {"base_model_id": cast.base_model.pk, "base_model": "smollm2"}
    publish_for_good(EngineEntry(**{**usual, **base, **fields}))
