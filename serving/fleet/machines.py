"""The living nodes as machines with room: what they report, less what engines placed there were planned to need."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from serving.fleet.registry import NodeEntry
from serving.models import Engine, Node
from serving.scaling.placing import Machine

_MIB = 1024**2
# What a driver keeps on a GPU that nobody uses.
_IDLE_GPU_BYTES = 1024 * _MIB


def machines(
    nodes: Iterable[Node], alive: Iterable[NodeEntry], engines: Iterable[Engine], deployment_id: int
) -> list[Machine]:
    """The nodes that live, as an engine of this deployment would find them.

    Args:
        engines: all living engines.
    """
    facts = {entry.name: entry.facts for entry in alive}
    by_node: dict[int, list[Engine]] = defaultdict(list)
    for engine in engines:
        by_node[engine.node_id].append(engine)
    return [
        _machine(node.name, facts[node.name], by_node[node.pk], deployment_id) for node in nodes if node.name in facts
    ]


def _machine(name: str, facts: dict[str, Any], engines: list[Engine], deployment_id: int) -> Machine:
    gpus = {int(gpu["index"]): int(gpu["memory_bytes"]) for gpu in facts.get("gpus") or []}
    taken: dict[int, int] = defaultdict(int)
    for engine in engines:
        for index in engine.gpus:
            taken[index] += engine.memory_bytes
    for gpu in facts.get("gpus") or []:
        # Somebody else's work: engines of ours are counted by their plans, as they grow into them.
        used = int(gpu.get("memory_used_bytes") or 0)
        if gpu["index"] not in taken and used > _IDLE_GPU_BYTES:
            taken[int(gpu["index"])] = used
    memory = facts.get("memory_bytes")
    return Machine(
        name=name,
        labels={str(key): str(value) for key, value in (facts.get("labels") or {}).items()},
        memory_bytes=None if memory is None else int(memory),
        gpus=gpus,
        taken_bytes=sum(engine.memory_bytes for engine in engines if not engine.gpus),
        gpus_taken=dict(taken),
        siblings=sum(engine.deployment_id == deployment_id for engine in engines),
        engines=len(engines),
    )
