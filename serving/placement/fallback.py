"""Says which kinds of engines may answer a department: the one where it is at home, and the one to fall back to."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Q

from serving.engines.kinds import EngineKind
from serving.models import Deployment
from serving.placement.tiers import Tier, tier_of
from tenants.models import Department, Fallback


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides for one department: its own tier, its fallback policy, and what is deployed for each base model."""

    tier: Tier
    fallback: Fallback
    deployed: dict[int, set[str]]

    def kinds(self, tier: Tier, base_model_id: int) -> tuple[EngineKind, ...]:
        """The kinds that may answer what is at home in a tier, in order."""
        return kinds_in_order(tier, self.fallback, self.deployed.get(base_model_id, ()))


def policy_of(department_id: int) -> Policy:
    """A department's policy as it is now, in two queries."""
    placement, promoted_at, fallback = Department.objects.values_list("placement", "promoted_at", "fallback").get(
        pk=department_id
    )
    deployed: dict[int, set[str]] = defaultdict(set)
    wished = Deployment.objects.filter(Q(replicas__gt=0) | Q(asleep_since__isnull=False))
    for base_model_id, kind in wished.order_by().values_list("base_model_id", "engine_kind").distinct():
        deployed[base_model_id].add(kind)
    return Policy(tier_of(placement, promoted=promoted_at is not None), Fallback(fallback), dict(deployed))


def kinds_in_order(tier: Tier, fallback: Fallback, deployed: Collection[str]) -> tuple[EngineKind, ...]:
    """The kinds of engine that may answer, the one that should first; the other one is its fallback.

    Args:
        deployed: the kinds of which there are deployments. Where the tier's own is not among them, the other kind is
            what an admin has chosen to answer, and no fallback.
    """
    first, other = tier.kind, EngineKind.LLAMACPP if tier.kind is EngineKind.VLLM else EngineKind.VLLM
    if first not in deployed and other in deployed:
        first, other = other, first
    if fallback is Fallback.NEVER or (fallback is Fallback.LIGHTWEIGHT_ONLY and other is not EngineKind.LLAMACPP):
        return (first,)
    return (first, other)
