"""Makes the engines agree with the deployments: decides what runs where; the nodes' agents carry it out."""

from datetime import timedelta

import structlog
from django.db import transaction
from django.utils import timezone

from polygraft.live import Change, announce, redis_client
from serving.adapters.lifecycle import versions_release_unprobed
from serving.models import Deployment, Engine, EngineState, Node
from serving.registry import living_nodes

# After n failures in this window a replacement waits 2^n seconds, at most a minute.
_FAILURE_WINDOW = timedelta(minutes=10)
_LONGEST_BACKOFF_SECONDS = 60

log = structlog.get_logger()


def reconcile() -> None:
    """Compare the wish with what is, and write down the difference. Running it twice at once does no harm."""
    living = {node.name for node in living_nodes(redis_client())}
    _give_up_lost_engines(living)
    for deployment_id in Deployment.objects.values_list("pk", flat=True):
        _reconcile_deployment(deployment_id, living)
    versions_release_unprobed()


def _give_up_lost_engines(living: set[str]) -> None:
    for engine in Engine.objects.living().exclude(node__name__in=living).select_related("node"):
        # Conditional, since the agent may have come back and moved the engine on.
        if (
            Engine.objects.living()
            .filter(pk=engine.pk)
            .update(state=EngineState.FAILED, error=f"The node {engine.node} is lost.", ended_at=timezone.now())
        ):
            log.warning("engine is lost with its node", engine=str(engine.pk), node=engine.node.name)


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
    if missing > 0 and not _backing_off(deployment):
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


def _backing_off(deployment: Deployment) -> bool:
    failures = Engine.objects.filter(
        deployment=deployment, state=EngineState.FAILED, ended_at__gt=timezone.now() - _FAILURE_WINDOW
    ).order_by("-ended_at")
    count = len(failures)
    if count == 0 or failures[0].ended_at is None:
        return False
    wait = min(2**count, _LONGEST_BACKOFF_SECONDS)
    return bool(timezone.now() < failures[0].ended_at + timedelta(seconds=wait))
