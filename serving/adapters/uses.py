"""Tells what still uses an adapter or one of its versions: shown before it is archived or deleted."""

from dataclasses import dataclass, field
from datetime import timedelta

import redis
from django.db.models import QuerySet
from django.utils import timezone

from polygraft.live import redis_client
from serving.engines.names import engine_adapter_name
from serving.fleet.registry import living_engines
from serving.models import Adapter, AdapterVersion, UsageRecord, VersionState

RECENT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Uses:
    """What uses it now or did lately.

    `rollout` is version → share in percent; `requests` are those of the last `RECENT_DAYS` days, `pinned` those of them
    that can only have named the version (`support-bot:3`), since the bare name did not lead to it; `shared_with` are
    departments' slugs; `engines` and `deployments` count the engines that hold it (None: not known, Redis is
    away) and the deployments that pin it; `comparisons` those that still run.
    """

    rollout: dict[int, int] = field(default_factory=dict)
    requests: int = 0
    pinned: int = 0
    shared_with: tuple[str, ...] = ()
    engines: int | None = 0
    deployments: int = 0
    comparisons: int = 0

    @property
    def sentences(self) -> list[str]:
        """The same for people; empty when nothing uses it."""
        said = [f"Version {n} answers {share} % of the bare name's requests." for n, share in self.rollout.items()]
        if self.requests:
            pinned = f", {self.pinned} of them by its number" if self.pinned else ""
            said.append(f"It answered {_count(self.requests, 'request')} in the last {RECENT_DAYS} days{pinned}.")
        if self.shared_with:
            said.append(f"It is shared with {', '.join(self.shared_with)}.")
        if self.deployments:
            said.append(f"{_count(self.deployments, 'deployment')} would always hold it.")
        if self.comparisons:
            said.append(f"It is in {_count(self.comparisons, 'comparison')} not finished yet.")
        if self.engines is None:
            said.append("Which engines hold it is not known now, since Redis is away.")
        elif self.engines:
            said.append(f"Loaded on {_count(self.engines, 'engine')}, which then let go of it.")
        return said


def uses_of_adapter(adapter: Adapter) -> Uses:
    """What uses any version of an adapter."""
    digests = set(adapter.versions.filter(state=VersionState.READY).values_list("digest", flat=True))
    return Uses(
        rollout=adapter.weights,
        requests=_recent().filter(adapter_version__adapter=adapter).count(),
        shared_with=tuple(adapter.shares.filter(declined_at=None).values_list("receiver", flat=True)),
        engines=_engines(digests),
        deployments=adapter.pinned_on.count(),
        comparisons=adapter.comparisons.unfinished().count(),
    )


def uses_of_version(version: AdapterVersion) -> Uses:
    """What uses one version."""
    adapter = version.adapter
    share = adapter.weights.get(version.number, 0)
    requests = _recent().filter(adapter_version=version)
    rollout = getattr(adapter, "rollout", None)
    named = requests.filter(at__gt=rollout.changed_at) if rollout is not None else requests
    return Uses(
        rollout={version.number: share} if share else {},
        requests=requests.count(),
        pinned=0 if share else named.count(),
        shared_with=tuple(adapter.shares.filter(declined_at=None).values_list("receiver", flat=True)) if share else (),
        engines=_engines({version.digest}) if version.state == VersionState.READY else 0,
        comparisons=sum(
            f"{adapter.name}:{version.number}" in compared
            for compared in adapter.comparisons.unfinished().values_list("candidates", flat=True)
        ),
    )


def _recent() -> QuerySet[UsageRecord]:
    return UsageRecord.objects.filter(at__gte=timezone.now() - timedelta(days=RECENT_DAYS))


def _engines(digests: set[str]) -> int | None:
    names = {engine_adapter_name(digest) for digest in digests if digest}
    try:
        return sum(bool(names & engine.resident) for engine in living_engines(redis_client()))
    except redis.RedisError:
        return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
