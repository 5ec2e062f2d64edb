"""Moves adapters and their versions through their states; each move is conditional, so that two movers do no harm."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from polygraft.live import Change, announce, redis_client
from serving.models import Adapter, AdapterVersion, VersionState
from serving.registry import living_engines
from serving.rollouts import rollout_begin
from tenants.audit import audit_record
from tenants.models import User


def version_claim(version_id: int) -> AdapterVersion | None:
    """Take a version for validation; None when it needs none (any more).

    A version that is being validated but has no digest may be claimed again: its first worker died.
    """
    claimable = AdapterVersion.objects.filter(
        pk=version_id, state__in=[VersionState.UPLOADED, VersionState.VALIDATING], digest=""
    )
    if claimable.update(state=VersionState.VALIDATING) != 1:
        return None
    return AdapterVersion.objects.select_related("adapter__department", "adapter__base_model").get(pk=version_id)


def version_stored(version: AdapterVersion, *, digest: str, size_bytes: int, report: dict[str, Any]) -> None:
    """Note that the checks have passed and the bytes are stored; engines may load it now."""
    AdapterVersion.objects.filter(pk=version.pk, state=VersionState.VALIDATING).update(
        digest=digest, size_bytes=size_bytes, report=report
    )
    announce(Change.WORK)


def version_reject(version: AdapterVersion, *, report: dict[str, Any]) -> None:
    """Refuse a version for good, with the report that says why."""
    with transaction.atomic():
        rejected = AdapterVersion.objects.filter(pk=version.pk, state=VersionState.VALIDATING).update(
            state=VersionState.REJECTED, digest="", report=report
        )
        if rejected:
            _audit(version, "adapter_version.reject")
    announce(Change.MODELS, Change.WORK)


def version_make_ready(version: AdapterVersion) -> None:
    """Open a version to its department; the first one of an adapter is also rolled out."""
    with transaction.atomic():
        made_ready = AdapterVersion.objects.filter(pk=version.pk, state=VersionState.VALIDATING).update(
            state=VersionState.READY, ready_at=timezone.now()
        )
        if not made_ready:
            return
        _audit(version, "adapter_version.ready", rolled_out=rollout_begin(version))
    announce(Change.MODELS)


def versions_release_unprobed() -> None:
    """Open the versions that wait for an engine's probe while no engine of their base model runs.

    An engine that starts later probes them before it takes requests for them.
    """
    waiting = (
        AdapterVersion.objects.filter(state=VersionState.VALIDATING, adapter__deleted_at=None)
        .exclude(digest="")
        .select_related("adapter__department")
    )
    if not waiting:
        return
    bases_with_engines = {engine.base_model_id for engine in living_engines(redis_client())}
    for version in waiting:
        if version.adapter.base_model_id not in bases_with_engines:
            version_make_ready(version)


@transaction.atomic
def adapter_delete(*, adapter: Adapter, by: User | None) -> None:
    """Delete an adapter: new requests get 404 within a second, running ones finish, engines then let go of it."""
    if Adapter.objects.alive().filter(pk=adapter.pk).update(deleted_at=timezone.now()) != 1:
        return
    audit_record(action="adapter.delete", target=adapter.name, by=by, department=adapter.department)
    transaction.on_commit(lambda: announce(Change.MODELS, Change.WORK))


def _audit(version: AdapterVersion, action: str, **details: Any) -> None:
    audit_record(
        action=action,
        target=f"{version.adapter.name}:{version.number}",
        by=None,
        department=version.adapter.department,
        **details,
    )
