"""Says what an adapter's bare name means: one version, or shares of several."""

from django.core.exceptions import ValidationError
from django.db import transaction

from polygraft.live import Change, announce
from serving.models import Adapter, Rollout, VersionState
from tenants.audit import audit_record
from tenants.models import User


@transaction.atomic
def rollout_set(*, adapter: Adapter, weights: dict[int, int], by: User | None) -> Rollout:
    """Roll versions out; callers of the bare name reach them within a second.

    Args:
        weights: version number → share in percent; the shares sum to 100.

    Raises:
        ValidationError: a version is not ready, a share is not positive, or the sum is not 100.
    """
    ready = set(adapter.versions.filter(state=VersionState.READY).values_list("number", flat=True))
    problems = [f"Version {number} of {adapter.name} is not ready." for number in weights if number not in ready]
    problems += [f"The share of version {number} must be above 0." for number, share in weights.items() if share <= 0]
    if sum(weights.values()) != 100:
        problems.append(f"The shares must sum to 100; they sum to {sum(weights.values())}.")
    if problems:
        raise ValidationError({"versions": problems})
    before = adapter.weights
    rollout, _ = Rollout.objects.update_or_create(
        adapter=adapter, defaults={"weights": {str(n): share for n, share in weights.items()}, "changed_by": by}
    )
    audit_record(
        action="rollout.set",
        target=adapter.name,
        by=by,
        department=adapter.department,
        before=before,
        after=rollout.weights,
    )
    transaction.on_commit(lambda: announce(Change.MODELS))
    return rollout
