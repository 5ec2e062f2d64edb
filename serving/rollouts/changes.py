"""Says what an adapter's bare name means, one version or shares of several, and keeps the history of it."""

from collections.abc import Mapping, Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from polygraft.live import Change, announce
from serving.models import Adapter, AdapterVersion, Rollout, RolloutChange, VersionState
from serving.rollouts.gates import gates_ask
from serving.rollouts.residency import BACK_SECONDS, WAIT_SECONDS, versions_await
from serving.rollouts.spans import spans_by_number, spans_change
from serving.rollouts.thresholds import Thresholds
from tenants.audit import audit_record
from tenants.models import User

_USUAL = Thresholds()
# So many changes further back nobody looks for a way back.
_LOOKED_AT = 100


def rollout_set(
    *,
    adapter: Adapter,
    weights: Mapping[int, int],
    by: User | None,
    step_back: Thresholds | None = _USUAL,
    reason: str = "",
    despite_gates: bool = False,
) -> Rollout:
    """Roll versions out, once engines hold them; callers of the bare name reach them within a second.

    Args:
        weights: version number → share in percent; the shares sum to 100.
        step_back: from where on a canary is taken back by itself; None: never. Without a canary it has no effect.
        reason: why, for the history.
        despite_gates: do it whatever gates say; for platform admins, and the audit says what was passed over.

    Raises:
        ValidationError: a version is not ready, a share is not positive, the sum is not 100, a gate refuses, or no
            engine could load a version.
    """
    _check(adapter, weights)
    reasons = gates_ask(adapter, weights)
    if reasons and not despite_gates:
        raise ValidationError({"versions": reasons})
    versions_await(adapter, weights, patience=WAIT_SECONDS)
    return rollout_change(adapter=adapter, weights=weights, by=by, step_back=step_back, reason=reason, despite=reasons)


def rollout_back(*, adapter: Adapter, by: User | None, reason: str = "") -> Rollout:
    """Go back to the rollout before the present one; doing it again goes further back.

    Raises:
        ValidationError: there is none whose versions are all still ready, or no engine could load them.
    """
    before = rollout_before(adapter)
    if before is None:
        raise ValidationError({"versions": [f"There is no earlier rollout of {adapter.name} to go back to."]})
    weights = weights_of(before)
    versions_await(adapter, weights, patience=BACK_SECONDS)
    return rollout_change(
        adapter=adapter, weights=weights, by=by, reason=reason, restores=before, action="rollout.back"
    )


def rollout_before(adapter: Adapter) -> RolloutChange | None:
    """What `rollout_back` goes back to: the latest earlier rollout that differs and whose versions are all ready."""
    changes = adapter.rollout_changes.select_related("restores")
    now = changes.first()
    if now is None:
        return None
    ready = _ready(adapter)
    # Who has gone back stands where that rollout stood, and the next way back leads on from there.
    place = now.restores or now
    for change in changes.filter(pk__lt=place.pk)[:_LOOKED_AT]:
        if change.weights != now.weights and ready.issuperset(weights_of(change)):
            return change.restores or change
    return None


def rollout_begin(version: AdapterVersion) -> bool:
    """Roll an adapter's first version out; False when there is a rollout, or a gate refuses. Within a transaction."""
    if gates_ask(version.adapter, {version.number: 100}):
        return False
    weights = {str(version.number): 100}
    _, is_first = Rollout.objects.get_or_create(
        adapter=version.adapter,
        defaults={"weights": weights, "changed_by": version.uploaded_by, "stable": version.number},
    )
    if is_first:
        RolloutChange.objects.create(
            adapter=version.adapter, weights=weights, by=version.uploaded_by, reason="The first version."
        )
    return is_first


@transaction.atomic
def rollout_change(
    *,
    adapter: Adapter,
    weights: Mapping[int, int],
    by: User | None,
    step_back: Thresholds | None = _USUAL,
    reason: str = "",
    restores: RolloutChange | None = None,
    instead_of: Mapping[int, int] | None = None,
    action: str = "rollout.set",
    despite: Sequence[str] = (),
) -> Rollout:
    """Write a rollout down and announce it; gates and engines have had their say.

    Args:
        restores: the earlier rollout that this one goes back to.
        instead_of: the shares that must still be in force.
        action: what the audit calls it.
        despite: what gates said against it, for the audit.

    Raises:
        ValidationError: a version is not ready any more, or the shares are others than `instead_of` meanwhile.
    """
    # Who archives a version locks its adapter, too.
    locked = Adapter.objects.select_for_update(of=("self",)).select_related("department").get(pk=adapter.pk)
    _check(locked, weights)
    present = Rollout.objects.filter(adapter=locked).first()
    before = {int(number): share for number, share in present.weights.items()} if present else {}
    if instead_of is not None and before != instead_of:
        raise ValidationError({"versions": [f"Somebody else has changed the rollout of {adapter.name} meanwhile."]})
    spans = spans_by_number(weights)
    if present is not None:
        spans = spans_change(present.spans or spans_by_number(before), weights)
    stable = _stable(present, weights)
    stored = {str(number): share for number, share in weights.items()}
    rollout, _ = Rollout.objects.update_or_create(
        adapter=locked,
        defaults={
            "weights": stored,
            "spans": spans,
            "stable": stable,
            "step_back": step_back.as_json() if step_back is not None and len(weights) > 1 else None,
            "changed_by": by,
        },
    )
    RolloutChange.objects.create(
        adapter=locked,
        weights=stored,
        by=by,
        reason=reason,
        restores=(restores.restores or restores) if restores else None,
    )
    audit_record(
        action=action,
        target=locked.name,
        by=by,
        department=locked.department,
        before={str(number): share for number, share in before.items()},
        after=stored,
        **({"reason": reason} if reason else {}),
        **({"despite": list(despite)} if despite else {}),
    )
    transaction.on_commit(lambda: announce(Change.MODELS))
    return rollout


def weights_of(change: RolloutChange) -> dict[int, int]:
    """Version number → share."""
    return {int(number): share for number, share in change.weights.items()}


def _ready(adapter: Adapter) -> set[int]:
    return set(adapter.versions.filter(state=VersionState.READY).values_list("number", flat=True))


def _check(adapter: Adapter, weights: Mapping[int, int]) -> None:
    ready = _ready(adapter)
    problems = [f"Version {number} of {adapter.name} is not ready." for number in weights if number not in ready]
    problems += [f"The share of version {number} must be above 0." for number, share in weights.items() if share <= 0]
    if adapter.archived_at is not None:
        problems.append(f"{adapter.name} is archived. Restore it before you roll a version out.")
    if sum(weights.values()) != 100:
        problems.append(f"The shares must sum to 100; they sum to {sum(weights.values())}.")
    if problems:
        raise ValidationError({"versions": problems})


def _stable(present: Rollout | None, weights: Mapping[int, int]) -> int:
    """The version that bore the name before, as long as it has a share; else the one with the largest."""
    if present is not None and present.stable is not None and present.stable in weights:
        return present.stable
    return max(weights, key=lambda number: (weights[number], -number))
