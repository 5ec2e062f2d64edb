"""Takes engines back that were given up with their node and turn out to run: the node had only been silent."""

from collections.abc import Collection

from serving.events import event_record
from serving.models import Engine, EngineState


def engines_take_back(engine_ids: Collection[str], *, draining: Collection[str] = ()) -> dict[str, Engine]:
    """Those of these engines that count as lost are in their place again, by id; the others stay as they are.

    What has been placed for them meanwhile, or is not wished for any more, is the reconciler's to drain.

    Args:
        draining: those that were about to end.
    """
    returned = {}
    for engine in Engine.objects.lost().filter(pk__in=engine_ids).select_related("node", "deployment__base_model"):
        engine_id = str(engine.pk)
        state = EngineState.READY if engine.ready_at else EngineState.STARTING
        if engine_id in draining:
            state = EngineState.DRAINING
        if not Engine.objects.filter(pk=engine.pk).take_back(state):
            continue
        engine.refresh_from_db(fields=["state", "failure", "error", "ended_at"])
        event_record(
            kind="engine.returned",
            sentence=f"Engine {engine.pk.hex[:8]} of {engine.deployment} is back with its node {engine.node}, "
            "which had only been silent.",
            engine=engine,
        )
        returned[engine_id] = engine
    return returned
