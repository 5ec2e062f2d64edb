"""Makes the engines agree with the deployments: decides what runs where; the nodes' agents carry it out.

Passes may overlap, on several machines. Each step (an engine placed, or drained) claims the deployment's next `turn`,
and a placement also the node's, by a conditional update in the transaction of the step: who has acted on an older state
than is true finds its turn taken, and leaves the rest to the next pass.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from polygraft.live import Change, announce, redis_client
from serving.adapters.lifecycle import versions_release_unprobed
from serving.capacity.need import Need
from serving.capacity.plan import gib
from serving.engines.logs import headline
from serving.events import event_record
from serving.fleet.autoscaling import replicas_decide, sleepers_announce
from serving.fleet.machines import machines
from serving.fleet.needs import deployment_need
from serving.fleet.registry import STALE_SECONDS, NodeEntry, engine_withdraw, living_nodes
from serving.fleet.replicas import Step, StepKind, next_step
from serving.fleet.restarts import Restart, restart_of
from serving.models import AdapterVersion, Deployment, Engine, EngineState, Failure, Node
from serving.scaling.placing import NoPlace, Place, place

log = structlog.get_logger()


class TurnTaken(Exception):
    """Another reconciler has acted since this one looked."""


@dataclass(slots=True)
class _Seen:
    """What a pass works on, kept true while it acts."""

    alive: list[NodeEntry]
    nodes: list[Node]
    engines: list[Engine]
    acted: bool = False

    def of(self, deployment: Deployment) -> list[Engine]:
        """The deployment's engines that run or start."""
        return [
            engine
            for engine in self.engines
            if engine.deployment_id == deployment.pk and engine.state in (EngineState.STARTING, EngineState.READY)
        ]


def reconcile() -> None:
    """Compare the wish with what is, and write down the difference. Running it twice at once does no harm."""
    client = redis_client()
    alive = living_nodes(client)
    _give_up_lost_engines({node.name for node in alive})
    replicas_decide(client)
    # Turns are read before the engines that they vouch for.
    deployments = list(Deployment.objects.select_related("base_model"))
    seen = _Seen(
        alive=alive,
        nodes=list(Node.objects.filter(name__in={node.name for node in alive})),
        engines=list(Engine.objects.living().select_related("node")),
    )
    adapters = AdapterVersion.objects.count_wanted_by_base_model()
    for deployment in deployments:
        need = deployment_need(deployment, adapters.get(deployment.base_model_id, 0))
        try:
            _agree(deployment, seen, need)
        except TurnTaken:
            log.info("another reconciler is at it", deployment=str(deployment))
    sleepers_announce(client)
    if seen.acted:
        announce(Change.WORK)
    versions_release_unprobed()


def _give_up_lost_engines(living: set[str]) -> None:
    # By what the database heard, too: a Redis that has lost its memory must cost no engine its place.
    silent = Q(node__last_seen_at__lt=timezone.now() - timedelta(seconds=STALE_SECONDS))
    gone = Engine.objects.living().filter(silent).exclude(node__name__in=living)
    for engine in gone.select_related("node", "deployment__base_model"):
        # Conditional, since the agent may have come back and moved the engine on.
        if (
            Engine.objects.living()
            .filter(pk=engine.pk)
            .update(
                state=EngineState.FAILED,
                failure=Failure.LOST,
                error=f"The node {engine.node} is lost.",
                ended_at=timezone.now(),
            )
        ):
            # Out of routing at once, not only when its entry has grown stale.
            engine_withdraw(redis_client(), str(engine.pk))
            announce(Change.ENGINES)
            event_record(
                kind="engine.lost",
                sentence=f"Engine {engine.pk.hex[:8]} of {engine.deployment} is lost with its node {engine.node}, "
                "whose worker has fallen silent.",
                engine=engine,
                is_problem=True,
            )


def _agree(deployment: Deployment, seen: _Seen, need: Need | None) -> None:
    """Take one step after another until the deployment is as wished, or has to wait."""
    while step := next_step(deployment.replicas, deployment.revision, seen.of(deployment)):
        if step.kind is StepKind.DRAIN:
            _drain(deployment, seen, step)
            continue
        restart = restart_of(deployment)
        if not restart.may_start(timezone.now()):
            _say_why_not(deployment, restart)
            return
        try:
            chosen = _find_place(deployment, seen, need)
        except NoPlace as reason:
            if not _fits_instead(deployment, seen, need, step):
                event_record(
                    kind="replica.waits",
                    sentence=f"Replica {step.number} of {deployment} waits: {reason}.",
                    is_problem=True,
                    deployment=deployment,
                )
                return
            # Nothing is free beside the old engine, which then has to go first.
            _drain(deployment, seen, replace(step, reason=f"there is no room for its successor beside it: {reason}"))
            return
        _place(deployment, seen, step, chosen)


def _say_why_not(deployment: Deployment, restart: Restart) -> None:
    if not restart.is_given_up or restart.last is None:
        return
    why = headline(restart.last.error) or restart.last.get_failure_display()
    event_record(
        kind="deployment.given_up",
        sentence=f"{deployment} is not started any more: its engines failed {restart.failures} times within "
        f"10 minutes. {why}",
        deployment=deployment,
        is_problem=True,
    )


def _find_place(deployment: Deployment, seen: _Seen, need: Need | None, *, without: UUID | None = None) -> Place:
    engines = [engine for engine in seen.engines if engine.pk != without]
    return place(need, machines(seen.nodes, seen.alive, engines, deployment.pk), deployment.node_selector)


def _fits_instead(deployment: Deployment, seen: _Seen, need: Need | None, step: Step) -> bool:
    """Whether the engine would fit if the old one were gone; one that does its work must not go in vain."""
    if step.engine_id is None:
        return False
    try:
        _find_place(deployment, seen, need, without=step.engine_id)
    except NoPlace:
        return False
    return True


@transaction.atomic
def _drain(deployment: Deployment, seen: _Seen, step: Step) -> None:
    _claim(deployment)
    engine = next(engine for engine in seen.engines if engine.pk == step.engine_id)
    # Conditional, since its agent may have found it dead meanwhile.
    if Engine.objects.filter(pk=engine.pk, state=engine.state).update(state=EngineState.DRAINING):
        event_record(
            kind="engine.drains",
            sentence=f"The engine of {deployment} on {engine.node} drains: {step.reason}.",
            engine=engine,
            deployment=deployment,
        )
    engine.state = EngineState.DRAINING
    seen.acted = True


@transaction.atomic
def _place(deployment: Deployment, seen: _Seen, step: Step, chosen: Place) -> None:
    _claim(deployment)
    node = next(node for node in seen.nodes if node.name == chosen.node)
    if not Node.objects.filter(pk=node.pk, turn=node.turn).update(turn=F("turn") + 1):
        raise TurnTaken
    engine = Engine.objects.create(
        deployment=deployment,
        node=node,
        revision=deployment.revision,
        memory_bytes=chosen.memory_bytes,
        gpus=list(chosen.gpus),
    )
    event_record(
        kind="replica.placed",
        sentence=f"Replica {step.number} of {deployment} goes to {node}{_where(chosen)}.",
        engine=engine,
    )
    node.turn += 1
    seen.engines.append(engine)
    seen.acted = True


def _claim(deployment: Deployment) -> None:
    if not Deployment.objects.filter(pk=deployment.pk, turn=deployment.turn).update(turn=F("turn") + 1):
        raise TurnTaken
    deployment.turn += 1


def _where(chosen: Place) -> str:
    size = f", planned to need {gib(chosen.memory_bytes)}" if chosen.memory_bytes else ""
    if not chosen.gpus:
        return size
    return f", GPU {_numbers(chosen.gpus)}{size}{' on each' if len(chosen.gpus) > 1 else ''}"


def _numbers(indices: Iterable[int]) -> str:
    return ", ".join(map(str, indices))
