"""The live registry of engines and nodes, in Redis: node agents write it every few seconds, everyone else reads."""

import time
from dataclasses import dataclass, replace
from typing import Any

import orjson
import redis

ENGINES_KEY = "polygraft:engines"
NODES_KEY = "polygraft:nodes"
# An entry that has not been renewed for so long describes something dead.
STALE_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """A living engine, as the agent of its node knows it.

    `resident` holds the names under which the engine has adapters loaded (`serving.engines.names`), `residency` the
    policy by which it gets them: unless that is `eager`, an adapter that is asked for comes within seconds; `slots` is
    how many requests it works on at once, 0 when unknown; `takes_priority` is false for a vLLM that is not to be told
    who is next; `running`, `waiting` (requests) and `kv_usage` (1 is all of its KV cache) are what the engine itself
    measured within seconds; `secret` is the engine's own bearer token; `seen_at` is in Unix seconds.
    """

    id: str
    node: str
    kind: str
    base_model_id: int
    base_model: str
    address: str
    secret: str
    state: str
    resident: frozenset[str] = frozenset()
    residency: str = "eager"
    slots: int = 0
    takes_priority: bool = True
    running: int = 0
    waiting: int = 0
    kv_usage: float = 0.0
    seen_at: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A living node; `place` is its machine and state folder, `seen_at` is in Unix seconds."""

    name: str
    address: str
    facts: dict[str, Any]
    place: str = ""
    seen_at: float = 0.0


def asked_key(engine_id: str) -> str:
    """Where gateways note when each adapter was last asked for at an engine: a sorted set of names by Unix seconds."""
    return f"polygraft:asked:{engine_id}"


def engine_publish(client: redis.Redis, entry: EngineEntry) -> None:
    """Write or renew an engine's entry."""
    _publish(client, ENGINES_KEY, entry.id, replace(entry, seen_at=time.time()))


def engine_withdraw(client: redis.Redis, engine_id: str) -> None:
    """Take an engine out of routing at once."""
    client.hdel(ENGINES_KEY, engine_id)


def node_publish(client: redis.Redis, entry: NodeEntry) -> None:
    """Write or renew a node's entry."""
    _publish(client, NODES_KEY, entry.name, replace(entry, seen_at=time.time()))


def node_withdraw(client: redis.Redis, name: str) -> None:
    """Say that a node is gone, without waiting for its entry to grow stale."""
    client.hdel(NODES_KEY, name)


def parse_engines(entries: dict[bytes, bytes]) -> list[EngineEntry]:
    """The living engines of the hash at `ENGINES_KEY`, as HGETALL returns it."""
    engines = []
    for raw in entries.values():
        fields = orjson.loads(raw)
        fields["resident"] = frozenset(fields["resident"])
        engines.append(EngineEntry(**fields))
    return [engine for engine in engines if _is_fresh(engine.seen_at)]


def living_engines(client: redis.Redis) -> list[EngineEntry]:
    """The engines whose agents have spoken lately, in whatever state."""
    return parse_engines(client.hgetall(ENGINES_KEY))  # type: ignore[arg-type]  # blocking client


def living_nodes(client: redis.Redis) -> list[NodeEntry]:
    """The nodes whose agents have spoken lately."""
    raw: dict[bytes, bytes] = client.hgetall(NODES_KEY)  # type: ignore[assignment]  # blocking client
    nodes = [NodeEntry(**orjson.loads(value)) for value in raw.values()]
    return [node for node in nodes if _is_fresh(node.seen_at)]


def _is_fresh(seen_at: float) -> bool:
    return time.time() - seen_at < STALE_SECONDS


def _publish(client: redis.Redis, key: str, field: str, entry: EngineEntry | NodeEntry) -> None:
    client.hset(key, field, orjson.dumps(entry, default=_jsonable).decode())


def _jsonable(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(type(value).__name__)
