"""Says the next step that brings a deployment's engines nearer to the wish."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from serving.models import Engine, EngineState


class StepKind(StrEnum):
    """What to do."""

    PLACE = "place"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Step:
    """One engine to place, as replica `number`, or to drain.

    Where nothing is free for the new one, the old engine `engine_id` may go first, if there is one.
    """

    kind: StepKind
    number: int = 0
    engine_id: UUID | None = None
    reason: str = ""


def next_step(replicas: int, revision: int, engines: Sequence[Engine]) -> Step | None:
    """The next step; None: everything is as wished, or on its way.

    Engines of an older revision (whose options have changed since) answer until their successors are ready.

    Args:
        engines: those of the deployment that start or are ready.
    """
    ordered = sorted(engines, key=lambda engine: (engine.state != EngineState.READY, engine.created_at, engine.pk))
    current = [engine for engine in ordered if engine.revision == revision]
    old = [engine for engine in ordered if engine.revision != revision]
    if len(current) > replicas:
        return Step(
            StepKind.DRAIN, engine_id=current[-1].pk, reason=f"there are {len(current)} where {replicas} are wished for"
        )
    ready = sum(engine.state == EngineState.READY for engine in current)
    superfluous = len(old) - (replicas - ready)
    if superfluous > 0:
        reason = "its options have changed, and its successor is ready" if replicas else "none are wished for any more"
        return Step(StepKind.DRAIN, engine_id=old[-1].pk, reason=reason)
    if len(current) < replicas:
        return Step(StepKind.PLACE, number=len(current) + 1, engine_id=old[-1].pk if old else None)
    return None
