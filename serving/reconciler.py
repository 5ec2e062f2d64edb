"""Makes the engines agree with the deployments: decides what runs where; the nodes' agents carry it out."""

import structlog
from django.db import transaction
from django.utils import timezone

from polygraft.live import Change, announce, redis_client
from serving.adapters.lifecycle import versions_release_unprobed
from serving.events import event_record
from serving.models import Deployment, Engine, EngineState, Failure, Node
from serving.registry import living_nodes
from serving.restarts import restart_of

log = structlog.get_logger()


def reconcile() -> None:
    """Compare the wish with what is, and write down the difference. Running it twice at once does no harm."""
    living = {node.name for node in living_nodes(redis_client())}
    _give_up_lost_engines(living)
    for deployment_id in Deployment.objects.values_list("pk", flat=True):
        _reconcile_deployment(deployment_id, living)
    versions_release_unprobed()


def _give_up_lost_engines(living: set[str]) -> None:
    for engine in (
        Engine.objects.living().exclude(node__name__in=living).select_related("node", "deployment__base_model")
    ):
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
            event_record(
                kind="engine.lost",
                sentence=f"Engine {engine.pk.hex[:8]} of {engine.deployment} is lost with its node {engine.node}, "
                "whose worker has not spoken for 15 s.",
                engine=engine,
                is_problem=True,
            )


@transaction.atomic
def _reconcile_deployment(deployment_id: int, living: set[str]) -> None:
    # The row's lock lets one reconciler at a time count this deployment's engines.
    deployment = Deployment.objects.select_for_update().filter(pk=deployment_id).first()
    if deployment is None:
        return
    engines = list(
        Engine.objects.filter(deployment=deployment, state__in=[EngineState.STARTING, EngineState.READY]).order_by(
            "-ready_at", "created_at"
        )
    )
    for engine in engines[deployment.replicas :]:
        Engine.objects.filter(pk=engine.pk).living().update(state=EngineState.DRAINING)
        log.info("engine drains: there are more than wished", engine=str(engine.pk))
    missing = deployment.replicas - len(engines)
    if missing > 0 and _may_start(deployment):
        for _ in range(missing):
            _place(deployment, living)
    if missing:
        transaction.on_commit(lambda: announce(Change.WORK))


def _place(deployment: Deployment, living: set[str]) -> None:
    nodes = list(Node.objects.filter(name__in=living))
    if not nodes:
        log.warning("replica waits: no node is alive", deployment=str(deployment))
        return
    load = {node.pk: Engine.objects.living().filter(node=node).count() for node in nodes}
    node = min(nodes, key=lambda candidate: load[candidate.pk])
    engine = Engine.objects.create(deployment=deployment, node=node)
    log.info("engine is placed", engine=str(engine.pk), deployment=str(deployment), node=node.name)


def _may_start(deployment: Deployment) -> bool:
    restart = restart_of(deployment)
    if restart.is_given_up and restart.last is not None:
        lines = restart.last.error.splitlines() or [restart.last.get_failure_display()]
        event_record(
            kind="deployment.given_up",
            sentence=f"{deployment} is not started any more: its engines failed {restart.failures} times within "
            f"10 minutes. The last words: {lines[-1]}",
            deployment=deployment,
            is_problem=True,
        )
    return restart.may_start(timezone.now())
