"""Engines as pages show them: what the database says, with what the live registry knows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import redis

from polygraft.live import redis_client
from serving.fleet.registry import EngineEntry, living_engines, living_nodes
from serving.gateway.turns.peers import avoided_engines
from serving.models import Engine, EngineState


@dataclass(frozen=True, slots=True)
class EngineRow:
    """An engine; `state` is "gone" when it should answer and its node has not spoken of it lately.

    `is_avoided` when some gateway keeps its requests from it, since it has been failing.
    """

    engine: Engine
    state: str
    residents: int
    is_avoided: bool


@dataclass(frozen=True, slots=True)
class Registry:
    """The living engines; none, and `is_away`, when Redis cannot be reached."""

    entries: list[EngineEntry]
    avoided: frozenset[str] = frozenset()
    is_away: bool = False

    def residents_by_name(self) -> Counter[str]:
        """Name of an adapter inside engines → the number of ready engines that hold it."""
        return Counter(name for entry in self.entries if entry.state == EngineState.READY for name in entry.resident)

    def ready_by_base_model(self) -> Counter[int]:
        """Primary key of a base model → the number of its ready engines."""
        return Counter(entry.base_model_id for entry in self.entries if entry.state == EngineState.READY)


def registry() -> Registry:
    """What is alive now."""
    try:
        return Registry(living_engines(redis_client()), frozenset(avoided_engines(redis_client())))
    except redis.RedisError:
        return Registry([], is_away=True)


def living_node_names() -> set[str]:
    """The nodes that speak; none when Redis cannot be reached."""
    try:
        return {node.name for node in living_nodes(redis_client())}
    except redis.RedisError:
        return set()


def engine_rows(engines: Iterable[Engine], known: Registry) -> list[EngineRow]:
    """The engines with what the registry knows of them."""
    entries = {entry.id: entry for entry in known.entries}
    rows = []
    for engine in engines:
        entry = entries.get(str(engine.pk))
        is_gone = engine.state == EngineState.READY and entry is None and not known.is_away
        rows.append(
            EngineRow(
                engine=engine,
                state="gone" if is_gone else engine.state,
                residents=len(entry.resident) if entry else 0,
                is_avoided=str(engine.pk) in known.avoided,
            )
        )
    return rows
