"""Watches over canaries, and takes back by itself those that do worse than the version they are to replace."""

from collections.abc import Mapping
from datetime import timedelta

import structlog
from django.core.exceptions import ValidationError
from django.utils import timezone

from serving.accounting.version_minutes import minute_of
from serving.events import event_record
from serving.models import Adapter, Rollout
from serving.rollouts.changes import rollout_change
from serving.rollouts.numbers import sums_since
from serving.rollouts.thresholds import Thresholds, thresholds_from_json
from serving.rollouts.verdict import Sample, verdict

log = structlog.get_logger()

# The short one sees soon what begins to fail after good hours, the long ones see what has few requests.
_WINDOWS = (timedelta(minutes=5), timedelta(hours=1), timedelta(days=1))
# Of so many requests to each version no difference that matters is missed: longer windows need not be read.
_ENOUGH = 5000


def rollouts_watch() -> None:
    """Judge every canary that is watched."""
    watched = Rollout.objects.filter(step_back__isnull=False, adapter__deleted_at=None)
    for rollout in watched.select_related("adapter__department", "adapter__base_model"):
        thresholds = thresholds_from_json(rollout.step_back)
        if thresholds is not None and rollout.stable is not None:
            _watch(rollout, rollout.stable, thresholds)


def _watch(rollout: Rollout, stable: int, thresholds: Thresholds) -> None:
    adapter = rollout.adapter
    weights = adapter.weights
    reasons: dict[int, str] = {}
    for window in _WINDOWS:
        samples = _samples(rollout, weights, window)
        for number in weights.keys() - {stable} - reasons.keys():
            if reason := verdict(samples[number], samples[stable], thresholds):
                reasons[number] = reason
        if timezone.now() - rollout.changed_at < window or min(map(_size, samples.values())) >= _ENOUGH:
            break
    if reasons:
        _step_back(adapter, weights, stable, thresholds, reasons)


def _size(sample: Sample) -> int:
    return sample.requests


def _samples(rollout: Rollout, weights: Mapping[int, int], window: timedelta) -> dict[int, Sample]:
    """Version number → what it did since the rollout began, or within a window."""
    ids = dict(rollout.adapter.versions.filter(number__in=weights).values_list("number", "pk"))
    sums = sums_since(ids.values(), minute_of(max(timezone.now() - window, rollout.changed_at)))
    return {number: sums[pk].sample() if pk in sums else Sample() for number, pk in ids.items()}


def _step_back(
    adapter: Adapter, weights: Mapping[int, int], stable: int, thresholds: Thresholds, reasons: dict[int, str]
) -> None:
    left = {number: share for number, share in weights.items() if number not in reasons}
    left[stable] += 100 - sum(left.values())
    why = "; ".join(f"version {number} was taken back, since {reason}" for number, reason in sorted(reasons.items()))
    sentence = f"{adapter} stepped back to version {stable}: {why}."
    try:
        rollout_change(
            adapter=adapter,
            weights=left,
            by=None,
            step_back=thresholds,
            reason=f"{why[0].upper()}{why[1:]}.",
            instead_of=weights,
            action="rollout.step_back",
        )
    except ValidationError as error:
        # Somebody was quicker, or the stable version is no more.
        log.warning("rollout.not_stepped_back", adapter=str(adapter), reason=" ".join(error.messages))
        return
    event_record(kind="rollout.step_back", sentence=sentence, adapter=adapter, is_problem=True)
