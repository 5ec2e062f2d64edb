"""Begins, cancels, resumes and deletes comparisons, and hands them to workers, one turn at a time."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from serving.background import comparison_request
from serving.comparisons.candidates import candidates_checked
from serving.comparisons.prompts import Prompt
from serving.models import Adapter, Comparison, ComparisonAnswer, ComparisonPrompt, ComparisonState
from serving.models.comparison import BROKEN_OFF, UNFINISHED
from tenants.audit import audit_record
from tenants.models import User

# A worker says more often than this that it is at work; one that does not is taken for dead.
_CLAIMED = timedelta(seconds=15)
# At work at the same time, on all workers together: whatever else workers do must find its place.
_AT_ONCE = 1


@transaction.atomic
def comparison_create(
    *,
    adapter: Adapter,
    name: str,
    candidates: Sequence[str],
    prompts: Sequence[Prompt],
    sampling: dict[str, Any],
    by: User,
) -> Comparison:
    """Begin a comparison; it runs in the background, in the name of who began it.

    Raises:
        ValidationError: a candidate is none, see `candidates_checked`.
    """
    comparison = Comparison.objects.create(
        adapter=adapter,
        name=name,
        candidates=candidates_checked(adapter, candidates),
        sampling=sampling,
        prompt_count=len(prompts),
        created_by=by,
    )
    ComparisonPrompt.objects.bulk_create(
        ComparisonPrompt(
            comparison=comparison,
            number=prompt.number,
            label=prompt.label,
            request=prompt.request,
            asked=prompt.asked,
            expect=prompt.expect,
        )
        for prompt in prompts
    )
    _audit(comparison, "create", by, candidates=comparison.candidates, prompts=len(prompts))
    transaction.on_commit(lambda: comparison_request(str(comparison.pk)))
    return comparison


@transaction.atomic
def comparison_cancel(*, comparison: Comparison, by: User | None) -> bool:
    """Stop it: requests under way end within seconds, what has been answered stays. False when it had ended before."""
    stopped = Comparison.objects.filter(pk=comparison.pk, state__in=UNFINISHED).update(
        state=ComparisonState.CANCELLED, finished_at=timezone.now(), problem="", claim=None, claimed_until=None
    )
    if stopped:
        _audit(comparison, "cancel", by)
    return bool(stopped)


@transaction.atomic
def comparison_run_again(*, comparison: Comparison, by: User) -> bool:
    """Have one that failed or was cancelled go on, in the name of who asks; False when it is neither.

    What was answered stays; what was not, or only with an error, is asked.

    Raises:
        ValidationError: a candidate is none any more.
    """
    candidates_checked(comparison.adapter, comparison.candidates)
    begun = Comparison.objects.filter(pk=comparison.pk, state__in=BROKEN_OFF).update(
        state=ComparisonState.QUEUED, created_by=by, finished_at=None, problem="", claim=None, claimed_until=None
    )
    if begun:
        ComparisonAnswer.objects.filter(prompt__comparison=comparison).exclude(error="").delete()
        _audit(comparison, "run_again", by)
        transaction.on_commit(lambda: comparison_request(str(comparison.pk)))
    return bool(begun)


@transaction.atomic
def comparison_delete(*, comparison: Comparison, by: User | None, because: str = "") -> None:
    """Delete it with its prompts and answers; what it had proved for a rollout is gone, too.

    Args:
        because: retention's reason; empty for a person.
    """
    why = {"because": because} if because else {}
    _audit(comparison, "delete", by, prompts=comparison.prompt_count, **why)
    comparison.delete()


def comparison_claim(comparison_id: str) -> Comparison | None:
    """Take a comparison for a turn; None when another has it, others have all places, or nothing is left to do."""
    now = timezone.now()
    if Comparison.objects.unfinished().filter(claimed_until__gte=now).exclude(pk=comparison_id).count() >= _AT_ONCE:
        return None
    claimed = (
        Comparison.objects.unfinished()
        .filter(Q(claimed_until=None) | Q(claimed_until__lt=now), pk=comparison_id, adapter__deleted_at=None)
        .update(state=ComparisonState.RUNNING, claim=uuid.uuid4(), claimed_until=now + _CLAIMED, turn_at=now)
    )
    if not claimed:
        return None
    Comparison.objects.filter(pk=comparison_id, started_at=None).update(started_at=now)
    related = ("adapter__department", "adapter__base_model", "created_by")
    return Comparison.objects.select_related(*related).get(pk=comparison_id)


def comparison_keep(comparison: Comparison) -> bool:
    """Say that the worker is still at it; False when it must stop: somebody cancelled, deleted or took it."""
    return bool(_mine(comparison).update(claimed_until=timezone.now() + _CLAIMED))


def comparison_hand_back(comparison: Comparison, problem: str = "") -> None:
    """End a turn with more to do; `problem` says what it waits for."""
    _mine(comparison).update(claim=None, claimed_until=None, problem=problem)


def comparison_end(comparison: Comparison, state: ComparisonState, problem: str = "") -> None:
    """End it for good."""
    _mine(comparison).update(state=state, problem=problem, finished_at=timezone.now(), claim=None, claimed_until=None)


def comparison_next() -> None:
    """Have the comparison that has waited longest go on, if there is one that nobody works on."""
    now = timezone.now()
    waiting = Comparison.objects.unfinished().filter(adapter__deleted_at=None)
    if waiting.filter(claimed_until__gte=now).count() >= _AT_ONCE:
        return
    unclaimed = waiting.filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
    longest = unclaimed.order_by(F("turn_at").asc(nulls_first=True), "created_at").first()
    if longest is not None:
        comparison_request(str(longest.pk))


def _mine(comparison: Comparison) -> Any:
    return Comparison.objects.filter(pk=comparison.pk, claim=comparison.claim, state=ComparisonState.RUNNING)


def _audit(comparison: Comparison, verb: str, by: User | None, **details: Any) -> None:
    audit_record(
        action=f"comparison.{verb}",
        target=f"{comparison.adapter.name}: {comparison.name}",
        by=by,
        department=comparison.adapter.department,
        **details,
    )
