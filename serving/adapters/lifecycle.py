"""Moves adapters and their versions through their states; each move is conditional, so that two movers do no harm."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from polygraft.live import Change, announce, redis_client
from serving.adapters.store.content import content_keep
from serving.fleet.registry import living_engines
from serving.models import AdapterVersion, VersionState
from serving.rollouts import rollout_begin
from tenants.audit import audit_record


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


def version_stored(version: AdapterVersion, *, digest: str, size_bytes: int, report: dict[str, Any]) -> bool:
    """Note that the checks have passed and the bytes are stored; engines may load it now.

    Returns:
        Whether they are stored; if not, they have been let go of meanwhile and must be stored again.
    """
    validating = AdapterVersion.objects.filter(pk=version.pk, state=VersionState.VALIDATING)
    stored = content_keep(digest, lambda: validating.update(digest=digest, size_bytes=size_bytes, report=report))
    if stored:
        announce(Change.WORK)
    return stored


def version_waits(version: AdapterVersion, *, words: str) -> None:
    """Say in its report what it waits for."""
    AdapterVersion.objects.filter(pk=version.pk, state=VersionState.VALIDATING).update(report={"waits": words})


def version_reject(version: AdapterVersion, *, report: dict[str, Any]) -> None:
    """Refuse a version for good, with the report that says why."""
    with transaction.atomic():
        rejected = AdapterVersion.objects.filter(pk=version.pk, state=VersionState.VALIDATING).update(
            state=VersionState.REJECTED, report=report
        )
        if rejected:
            _audit(version, "adapter_version.reject")
    announce(Change.MODELS, Change.WORK)


def version_make_ready(version: AdapterVersion) -> None:
    """Open a version to its department; the first one of an adapter is also rolled out, unless policy asks for more."""
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


def _audit(version: AdapterVersion, action: str, **details: Any) -> None:
    audit_record(
        action=action,
        target=f"{version.adapter.name}:{version.number}",
        by=None,
        department=version.adapter.department,
        **details,
    )
