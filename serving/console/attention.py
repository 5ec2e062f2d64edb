"""What wants a person's attention now: sentences for the first page, each with the way to the remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, F, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from serving.adapters.quotas import quota_uses
from serving.console.engine_rows import Registry, living_node_names
from serving.console.limit_rows import limit_groups
from serving.console.quotas import meters_of
from serving.models import AdapterVersion, Deployment, EngineState, Node, PlatformEvent, VersionState
from tenants.limits import levels_of
from tenants.models import APIKey, Department

_NEARLY_FULL_PERCENT = 90
# What is refilled within a minute is no concern; what lasts until midnight or the month's end is.
_LASTING = {"tokens_per_day", "tokens_per_month", "money_per_month"}
# A deployment's trouble repeats itself every few seconds; silence since then means that it is over.
_STILL = timedelta(minutes=10)
_LATELY = timedelta(days=3)
_SOON = timedelta(days=7)
_MOST_OF_A_KIND = 5


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing to look at; `subject` is what it is about, and leads to `url`."""

    subject: str
    sentence: str
    url: str


def platform_concerns(known: Registry) -> list[Concern]:
    """What is wrong with engines and nodes."""
    return [*_deployments(), *_nodes(known)]


def department_concerns(departments: QuerySet[Department]) -> list[Concern]:
    """What is wrong, or will be soon, with these departments' adapters, room, limits and keys."""
    return [*_step_backs(departments), *_rejected(departments), *_full(departments), *_keys(departments)]


def _deployments() -> Iterator[Concern]:
    short = Deployment.objects.annotate(ready=Count("engines", filter=Q(engines__state=EngineState.READY))).filter(
        ready__lt=F("replicas"), asleep_since=None
    )
    troubled = {deployment.pk: deployment for deployment in short}
    events = PlatformEvent.objects.filter(
        deployment__in=troubled, is_problem=True, last_at__gte=timezone.now() - _STILL
    ).order_by("deployment", "-last_at", "-pk")
    newest: dict[int, PlatformEvent] = {}
    for event in events:
        assert event.deployment_id is not None  # noqa: S101  # by the query
        newest.setdefault(event.deployment_id, event)
    for pk, event in sorted(newest.items())[:_MOST_OF_A_KIND]:
        deployment = troubled[pk]
        ready = f"{deployment.ready} of {deployment.replicas} ready"
        yield Concern(f"{deployment}: {ready}", event.sentence, reverse("deployment", args=[pk]))


def _nodes(known: Registry) -> Iterator[Concern]:
    if known.is_away:
        return
    # One that has been silent for longer was taken away, most likely.
    heard = Node.objects.filter(last_seen_at__gte=timezone.now() - _LATELY)
    for node in heard.exclude(name__in=living_node_names())[:_MOST_OF_A_KIND]:
        yield Concern(f"Node {node.name}", "It is lost: its worker is not heard.", reverse("node", args=[node.name]))


def _step_backs(departments: QuerySet[Department]) -> Iterator[Concern]:
    events = PlatformEvent.objects.filter(
        kind="rollout.step_back",
        adapter__department__in=departments,
        adapter__deleted_at=None,
        last_at__gte=timezone.now() - _LATELY,
    )
    for event in events.select_related("adapter__department")[:_MOST_OF_A_KIND]:
        assert event.adapter is not None  # noqa: S101  # by the query
        department = event.adapter.department
        name = f"{department.slug}/{event.adapter.name}"
        yield Concern(name, event.sentence, reverse("adapter", args=[department.slug, event.adapter.name]))


def _rejected(departments: QuerySet[Department]) -> Iterator[Concern]:
    newest = AdapterVersion.objects.filter(
        state=VersionState.REJECTED,
        adapter__department__in=departments,
        adapter__deleted_at=None,
        uploaded_at__gte=timezone.now() - _LATELY,
    ).exclude(adapter__versions__number__gt=F("number"))
    for version in newest.select_related("adapter__department").order_by("-uploaded_at")[:_MOST_OF_A_KIND]:
        adapter = version.adapter
        yield Concern(
            f"{adapter.department.slug}/{adapter.name}:{version.number}",
            "It was rejected: its report says what to change.",
            reverse("adapter", args=[adapter.department.slug, adapter.name]),
        )


def _full(departments: QuerySet[Department]) -> Iterator[Concern]:
    bounded = departments.exclude(quota_bytes=None, quota_adapters=None, limits={})
    uses = quota_uses(bounded)
    for department in bounded:
        full = [
            f"{meter.used} of {meter.words} used"
            for meter in meters_of(department, uses[department.pk])
            if meter.percent is not None and meter.percent >= _NEARLY_FULL_PERCENT
        ]
        lasting = {kind: limit for kind, limit in department.limits.items() if kind in _LASTING}
        for group in limit_groups(levels_of(f"department:{department.pk}", "department", lasting)):
            full += [
                f"{row.used} of {row.limit} {row.words} used"
                for row in group.rows
                if row.percent >= _NEARLY_FULL_PERCENT
            ]
        if full:
            sentence = f"{', '.join(full)}."
            yield Concern(department.name, sentence, reverse("department-limits", args=[department.slug]))


def _keys(departments: QuerySet[Department]) -> Iterator[Concern]:
    now = timezone.now()
    ending = APIKey.objects.usable(now).filter(department__in=departments, expires_at__lte=now + _SOON, revoked_at=None)
    for key in ending.select_related("department").order_by("expires_at")[:_MOST_OF_A_KIND]:
        assert key.expires_at is not None  # noqa: S101  # by the query
        yield Concern(
            f"{key.department.slug}: key {key.name}",
            f"It expires on {key.expires_at:%d %b %Y at %H:%M} UTC. Make another one before.",
            reverse("key-list", args=[key.department.slug]),
        )
