"""Retires old versions by policy: each is archived with a reason, and deleted when a grace period has passed.

Whatever the policy says, a version stays that the bare name leads to or would after going back, that answered a request
in the last `RECENT_DAYS` days, that is being compared, that is marked to be kept, or whose adapter is archived.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from serving.adapters.retirement import version_archive, version_delete
from serving.adapters.uses import RECENT_DAYS
from serving.models import Adapter, AdapterVersion, RetentionPolicy, UsageRecord, VersionState
from serving.rollouts.changes import rollout_before, weights_of
from tenants.audit import audit_record
from tenants.models import Department, User

log = structlog.get_logger()

ARCHIVE, DELETE = "archive", "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with one version (`archive` or `delete`), and why."""

    version: AdapterVersion
    action: str
    because: str


def retention_plan(department: Department, policy: RetentionPolicy | None = None) -> list[Step]:
    """What retention would do to a department's versions now, under its policy or another one."""
    policy = policy or RetentionPolicy.of(department)
    if policy.keeps_everything:
        return []
    now = timezone.now()
    used = _last_used(department, now - timedelta(days=max(policy.keep_used_days or 0, RECENT_DAYS)))
    adapters = department.adapters.in_service().select_related("rollout", "department").prefetch_related("versions")
    return [step for adapter in adapters for step in _steps(adapter, policy, used, now)]


def retention_apply(department: Department) -> int:
    """Do what `retention_plan` says; returns how many versions it has moved."""
    done = 0
    for step in retention_plan(department):
        act = version_archive if step.action == ARCHIVE else version_delete
        try:
            act(version=step.version, by=None, because=step.because)
        except ValidationError as error:
            # Somebody has rolled it out or restored it meanwhile.
            log.info("version is not retired", version=str(step.version), reason=" ".join(error.messages))
        else:
            done += 1
    return done


def retention_apply_everywhere() -> int:
    """The same for every department."""
    return sum(retention_apply(department) for department in Department.objects.all())


@transaction.atomic
def retention_set(
    *,
    department: Department | None,
    keep_newest: int | None,
    keep_used_days: int | None,
    grace_days: int,
    by: User | None,
) -> RetentionPolicy:
    """Give a department a policy of its own, or the platform one for all departments without (`department` None).

    Raises:
        ValidationError: a number is out of range.
    """
    policy = RetentionPolicy.objects.filter(department=department).first() or RetentionPolicy(department=department)
    before = policy.as_json() if policy.pk else None
    policy.keep_newest, policy.keep_used_days, policy.grace_days = keep_newest, keep_used_days, grace_days
    policy.full_clean()
    policy.save()
    audit_record(
        action="retention.set",
        target=department.slug if department else "platform",
        by=by,
        department=department,
        before=before,
        after=policy.as_json(),
    )
    return policy


@transaction.atomic
def retention_inherit(*, department: Department, by: User | None) -> None:
    """Have the platform's policy hold for a department again."""
    policy = RetentionPolicy.objects.filter(department=department).first()
    if policy is None:
        return
    audit_record(
        action="retention.inherit", target=department.slug, by=by, department=department, before=policy.as_json()
    )
    policy.delete()


def _steps(adapter: Adapter, policy: RetentionPolicy, used: dict[int, datetime], now: datetime) -> Iterator[Step]:
    versions = sorted(adapter.versions.all(), key=lambda version: version.number, reverse=True)
    ready = [version for version in versions if version.state == VersionState.READY]
    stays = {number for number, share in adapter.weights.items() if share}
    for compared in adapter.comparisons.unfinished().values_list("candidates", flat=True):
        stays |= {version.number for version in ready if f"{adapter.name}:{version.number}" in compared}
    if len(ready) > len(stays) and (before := rollout_before(adapter)) is not None:
        stays |= weights_of(before).keys()
    for version in versions:
        version.adapter = adapter
        if version.keep or version.number in stays or _used_since(version, used, now, RECENT_DAYS):
            continue
        if version.state == VersionState.READY:
            if because := _too_old(version, ready.index(version), policy, used, now):
                yield Step(version, ARCHIVE, because)
        elif version.state == VersionState.ARCHIVED and version.archived_because and version.archived_at:
            age = now - version.archived_at
            if age >= timedelta(days=policy.grace_days):
                yield Step(version, DELETE, f"archived {age.days} days ago as {version.archived_because}"[:200])


def _too_old(
    version: AdapterVersion, place: int, policy: RetentionPolicy, used: dict[int, datetime], now: datetime
) -> str:
    """Why the policy does not keep a version; empty when it does."""
    reasons = []
    if policy.keep_newest is not None:
        if place < policy.keep_newest:
            return ""
        reasons.append(f"older than the newest {policy.keep_newest}")
    if policy.keep_used_days is not None:
        # A new version gets as long to be used as an old one.
        born = version.ready_at or version.uploaded_at
        if _used_since(version, used, now, policy.keep_used_days) or born > now - timedelta(days=policy.keep_used_days):
            return ""
        reasons.append(f"unused for {policy.keep_used_days} days")
    return " and ".join(reasons)


def _used_since(version: AdapterVersion, used: dict[int, datetime], now: datetime, days: int) -> bool:
    last = used.get(version.pk)
    return last is not None and last >= now - timedelta(days=days)


def _last_used(department: Department, since: datetime) -> dict[int, datetime]:
    """Version → when it last answered, whoever asked, of those that did since then."""
    records = UsageRecord.objects.filter(adapter_version__adapter__department=department, at__gte=since).order_by()
    return dict(records.values("adapter_version").annotate(last=Max("at")).values_list("adapter_version", "last"))
