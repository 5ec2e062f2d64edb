"""Finds a node for an engine: where it fits, where its labels allow it, apart from its siblings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.capacity.need import Need
from serving.capacity.plan import gib

# The share of a node's memory that is given to engines.
_USABLE = 0.92


@dataclass(frozen=True, slots=True)
class Machine:
    """A living node as the reconciler sees it.

    `memory_bytes` is None where the node has not said; `gpus` holds each GPU's memory by its index. `taken_bytes` and
    `gpus_taken` are what engines already placed there were planned to need. `siblings` counts the engines of the same
    deployment there, `engines` all of them.
    """

    name: str
    labels: Mapping[str, str]
    memory_bytes: int | None
    gpus: Mapping[int, int]
    taken_bytes: int = 0
    gpus_taken: Mapping[int, int] | None = None
    siblings: int = 0
    engines: int = 0

    @property
    def free_bytes(self) -> int | None:
        """Main memory that is left; None: unknown, and so taken to be enough."""
        return None if self.memory_bytes is None else int(self.memory_bytes * _USABLE) - self.taken_bytes

    def free_on_gpu(self, index: int, *, whole: bool) -> int:
        """Memory that is left on a GPU; nothing on one that somebody uses, where a whole one is wanted."""
        taken = (self.gpus_taken or {}).get(index, 0)
        return 0 if whole and taken else int(self.gpus[index] * _USABLE) - taken


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine goes, on which GPUs, and the memory that it is planned to take there (per GPU, or in main)."""

    node: str
    gpus: tuple[int, ...]
    memory_bytes: int


class NoPlace(Exception):
    """The engine fits nowhere now; the message completes "replica 2 waits: …"."""


def place(need: Need | None, machines: Iterable[Machine], selector: Mapping[str, str]) -> Place:
    """Choose a node: one that fits, with the fewest siblings, then the fewest engines, then the most room.

    Args:
        need: None where the model's size is unknown: any node then fits.

    Raises:
        NoPlace: no node is alive, has the labels, or has room.
    """
    living = list(machines)
    if not living:
        raise NoPlace("no node is alive")
    labelled = [machine for machine in living if selector.items() <= machine.labels.items()]
    if not labelled:
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
        raise NoPlace(f"no living node has the labels {wanted}")
    if need is None:
        best = min(labelled, key=lambda machine: (machine.siblings, machine.engines, machine.name))
        return Place(best.name, (), 0)
    # An engine for GPUs goes to processors only where there are no GPUs at all, as on somebody's laptop.
    if need.gpus and any(machine.gpus for machine in labelled):
        return _on_gpus(need, [machine for machine in labelled if machine.gpus])
    return _on_processors(need, labelled)


def _on_gpus(need: Need, machines: list[Machine]) -> Place:
    have = [machine for machine in machines if _best_gpus(machine, need) >= need.gpu_bytes]
    fitting = [machine for machine in have if _room(machine) >= need.host_bytes]
    if fitting:
        best = min(
            fitting, key=lambda machine: (machine.siblings, machine.engines, -_best_gpus(machine, need), machine.name)
        )
        return Place(best.name, _most_free_gpus(best, need), need.gpu_bytes)
    if have:
        best = max(have, key=lambda machine: (_room(machine), machine.name))
        raise NoPlace(
            f"needs {gib(need.host_bytes)} of main memory beside its GPUs, "
            f"the best node ({best.name}) has {gib(max(0, int(_room(best))))}"
        )
    best = max(machines, key=lambda machine: (_best_gpus(machine, need), machine.name))
    found = gib(max(0, _best_gpus(best, need)))
    if need.gpus == 1:
        raise NoPlace(f"needs {gib(need.gpu_bytes)}, the best node ({best.name}) has {found} free on a GPU")
    raise NoPlace(
        f"needs {need.gpus} GPUs with {gib(need.gpu_bytes)} each, "
        f"the best node ({best.name}) has {found} on each of so many"
    )


def _most_free_gpus(machine: Machine, need: Need) -> tuple[int, ...]:
    free = {index: machine.free_on_gpu(index, whole=need.takes_whole_gpus) for index in machine.gpus}
    return tuple(sorted(sorted(free, key=lambda index: -free[index])[: need.gpus]))


def _best_gpus(machine: Machine, need: Need) -> int:
    free = sorted((machine.free_on_gpu(index, whole=need.takes_whole_gpus) for index in machine.gpus), reverse=True)
    return free[need.gpus - 1] if len(free) >= need.gpus else 0


def _on_processors(need: Need, machines: list[Machine]) -> Place:
    fitting = [machine for machine in machines if _room(machine) >= need.processor_bytes]
    if fitting:
        best = min(fitting, key=lambda machine: (machine.siblings, machine.engines, -_room(machine), machine.name))
        return Place(best.name, (), need.processor_bytes)
    best = max(machines, key=lambda machine: (_room(machine), machine.name))
    raise NoPlace(
        f"needs {gib(need.processor_bytes)}, the best node ({best.name}) has {gib(max(0, int(_room(best))))} free"
    )


def _room(machine: Machine) -> float:
    return float("inf") if machine.free_bytes is None else machine.free_bytes
