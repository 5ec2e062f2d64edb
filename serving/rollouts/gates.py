"""What may refuse a rollout before it is tried. Going back, by hand or by itself, passes no gate."""

from collections.abc import Callable, Mapping, Sequence

from serving.comparisons.policy import unproved
from serving.models import Adapter

# Each is given the adapter and the wished shares by version number, and returns sentences that say why not.
Gate = Callable[[Adapter, Mapping[int, int]], Sequence[str]]

GATES: tuple[Gate, ...] = (unproved,)


def gates_ask(adapter: Adapter, weights: Mapping[int, int]) -> list[str]:
    """Why this rollout may not be; empty when it may."""
    return [reason for gate in GATES for reason in gate(adapter, weights)]
