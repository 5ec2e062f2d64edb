"""Retires what is old by policy: versions are archived with a reason, and deleted when a grace period has passed;
comparisons that ended and comments on answers are deleted.

Whatever the policy says, a version stays that the bare name leads to or would after going back, that answered a request
in the last `RECENT_DAYS` days, that is being compared, that is marked to be kept, or whose adapter is archived.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Max, QuerySet
from django.utils import timezone

from serving.adapters.retirement import version_archive, version_delete
from serving.adapters.uses import RECENT_DAYS
from serving.comparisons.lifecycle import comparison_delete
from serving.models import Adapter, AdapterVersion, Comparison, Feedback, RetentionPolicy, UsageRecord, VersionState
from serving.models.comparison import UNFINISHED
from serving.rollouts.changes import rollout_before, weights_of
from tenants.audit import audit_record
from tenants.models import Department, User

log = structlog.get_logger()

ARCHIVE, DELETE = "archive", "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done (`archive` or `delete`), and why: with a version, a comparison, or an adapter's `comments`."""

    adapter: Adapter
    action: str
    because: str
    version: AdapterVersion | None = None
    comparison: Comparison | None = None
    comments: int = 0


def retention_plan(department: Department, policy: RetentionPolicy | None = None) -> list[Step]:
    """What retention would do to what a department has now, under its policy or another one."""
    policy = policy or RetentionPolicy.of(department)
    now = timezone.now()
    return [*_of_versions(department, policy, now), *_of_texts(department, policy, now)]


def retention_apply(department: Department) -> int:
    """Do what `retention_plan` says; returns how many steps were taken."""
    policy = RetentionPolicy.of(department)
    done = 0
    for step in retention_plan(department, policy):
        try:
            _take(step, policy)
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
def retention_set(*, department: Department | None, wished: RetentionPolicy, by: User | None) -> RetentionPolicy:
    """Give a department a policy of its own, or the platform one for all departments without (`department` None).

    Raises:
        ValidationError: a number is out of range.
    """
    policy = RetentionPolicy.objects.filter(department=department).first() or RetentionPolicy(department=department)
    before = policy.as_json() if policy.pk else None
    for name, value in wished.as_json().items():
        setattr(policy, name, value)
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


def _take(step: Step, policy: RetentionPolicy) -> None:
    if step.version is not None:
        act = version_archive if step.action == ARCHIVE else version_delete
        act(version=step.version, by=None, because=step.because)
    elif step.comparison is not None:
        comparison_delete(comparison=step.comparison, by=None, because=step.because)
    else:
        comments = _old_comments(policy, timezone.now()).filter(adapter_version__adapter=step.adapter)
        comments.update(comment="")


def _of_versions(department: Department, policy: RetentionPolicy, now: datetime) -> Iterator[Step]:
    if policy.keeps_all_versions:
        return
    used = _last_used(department, now - timedelta(days=max(policy.keep_used_days or 0, RECENT_DAYS)))
    adapters = department.adapters.in_service().select_related("rollout", "department").prefetch_related("versions")
    for adapter in adapters:
        yield from _of_adapter(adapter, policy, used, now)


def _of_texts(department: Department, policy: RetentionPolicy, now: datetime) -> Iterator[Step]:
    if policy.keep_texts_days is None:
        return
    because = f"older than {policy.keep_texts_days} days"
    adapters = {adapter.pk: adapter for adapter in department.adapters.alive().select_related("department")}
    ended = Comparison.objects.filter(finished_at__lt=now - timedelta(days=policy.keep_texts_days))
    for comparison in ended.filter(adapter__in=adapters).exclude(state__in=UNFINISHED):
        comparison.adapter = adapters[comparison.adapter_id]
        yield Step(comparison.adapter, DELETE, because, comparison=comparison)
    comments = _old_comments(policy, now).filter(adapter_version__adapter__in=adapters).order_by()
    counted = comments.values("adapter_version__adapter").annotate(count=Count("pk"))
    for adapter, count in counted.values_list("adapter_version__adapter", "count"):
        yield Step(adapters[adapter], DELETE, because, comments=count)


def _old_comments(policy: RetentionPolicy, now: datetime) -> QuerySet[Feedback]:
    """The thumbs themselves stay, as figures."""
    if policy.keep_texts_days is None:
        return Feedback.objects.none()
    return Feedback.objects.filter(at__lt=now - timedelta(days=policy.keep_texts_days)).exclude(comment="")


def _of_adapter(adapter: Adapter, policy: RetentionPolicy, used: dict[int, datetime], now: datetime) -> Iterator[Step]:
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
                yield Step(adapter, ARCHIVE, because, version=version)
        elif version.state == VersionState.ARCHIVED and version.archived_because and version.archived_at:
            age = now - version.archived_at
            if age >= timedelta(days=policy.grace_days):
                because = f"archived {age.days} days ago as {version.archived_because}"[:200]
                yield Step(adapter, DELETE, because, version=version)


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
