"""A department's rule that a comparison comes before a rollout: set, and asked before each."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.db import transaction

from serving.comparisons.candidates import pinned
from serving.comparisons.summary import pair_of, summary_of
from serving.models import Adapter, Comparison, ComparisonPolicy, ComparisonState
from serving.models.comparison import BASE, Proof
from tenants.audit import audit_record
from tenants.models import Department, User

# A proof may be so many comparisons old.
_NEWEST = 50


def policy_of(department: Department) -> ComparisonPolicy | None:
    """The department's policy, or None where no comparison is needed."""
    return ComparisonPolicy.objects.filter(department=department).first()


def policy_as_json(policy: ComparisonPolicy | None) -> dict[str, Any]:
    """A policy as the API and the audit have it."""
    policy = policy or ComparisonPolicy()
    return {
        "required": policy.pk is not None,
        "proof": policy.proof,
        "prompts": policy.prompts,
        "pass_rate": policy.pass_rate,
    }


@transaction.atomic
def policy_set(
    *, department: Department, required: bool, proof: Proof, prompts: int, pass_rate: int, by: User | None
) -> ComparisonPolicy | None:
    """Say whether, and which, comparison comes before a rollout in this department.

    Raises:
        ValidationError: a number is out of its range.
    """
    known = policy_of(department)
    before = policy_as_json(known)
    after: ComparisonPolicy | None = None
    if required:
        after = known or ComparisonPolicy(department=department)
        after.proof, after.prompts, after.pass_rate = proof, prompts, pass_rate
        after.full_clean()
        after.save()
    elif known is not None:
        known.delete()
    audit_record(
        action="comparison_policy.set",
        target=department.slug,
        by=by,
        department=department,
        before=before,
        after=policy_as_json(after),
    )
    return after


def unproved(adapter: Adapter, numbers: Iterable[int]) -> list[str]:
    """Why the policy keeps these versions from being rolled out, a sentence each; empty: it does not.

    What is rolled out now, even to a share of requests, has been let in before.
    """
    policy = policy_of(adapter.department)
    if policy is None:
        return []
    return list(_unproved(policy, adapter, [number for number in numbers if number not in adapter.weights]))


def _unproved(policy: ComparisonPolicy, adapter: Adapter, numbers: list[int]) -> Iterator[str]:
    finished = list(adapter.comparisons.filter(state=ComparisonState.FINISHED)[:_NEWEST])
    for number in numbers:
        version = pinned(adapter, number)
        shown = [_shortfall(policy, adapter, comparison, version) for comparison in finished]
        if "" in shown:
            continue
        closest = next((words for words in shown if words is not None), "")
        found = f" The newest one that it was in does not do: {closest}" if closest else " It was in none yet."
        needs = f"{version} needs {_asked(policy)}.{found}"
        yield f"{adapter.department} rolls a version out only after a comparison. {needs}"


def _shortfall(policy: ComparisonPolicy, adapter: Adapter, comparison: Comparison, version: str) -> str | None:
    """What a comparison lacks as a proof for a version: "" nothing, None that it was not in it."""
    if version not in comparison.candidates:
        return None
    (figures,) = [one for one in summary_of(comparison).figures if one.candidate == version]
    if figures.judged < policy.prompts:
        return f"{figures.judged} of its prompts say what they expect."
    if policy.proof == Proof.PASS_RATE:
        # In whole numbers, so that nine of ten are 90 %.
        if figures.passed * 100 >= policy.pass_rate * figures.judged:
            return ""
        return f"it passes {figures.passed} of {figures.judged} prompts."
    for other in _rivals(adapter):
        if other not in comparison.candidates:
            return f"{other} was not in it."
        pair = pair_of(comparison, version, other)
        if pair.only_second > pair.only_first and pair.is_beyond_chance:
            return (
                f"{other} passes {pair.only_second} prompts that {version} does not, and {pair.only_first} the other "
                "way round, which is beyond chance."
            )
    return ""


def _rivals(adapter: Adapter) -> list[str]:
    """What a new version is held against: what is live, or before the first rollout the base model."""
    return [pinned(adapter, number) for number in adapter.weights] or [BASE]


def _asked(policy: ComparisonPolicy) -> str:
    needs = f"a finished comparison with at least {policy.prompts} prompts that say what they expect"
    if policy.proof == Proof.PASS_RATE:
        return f"{needs}, of which it passes {policy.pass_rate} %"
    return f"{needs}, in which it is not worse than what is live now beyond chance"
