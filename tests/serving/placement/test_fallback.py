"""Which kinds of engines may answer a department."""

from typing import Any

import pytest

from cast import Cast
from serving.engines.kinds import EngineKind
from serving.models import Deployment
from serving.placement.fallback import kinds_in_order, policy_of
from serving.placement.tiers import Tier
from tenants.departments import department_fall_back
from tenants.models import AuditEvent, Fallback

VLLM, LLAMACPP = EngineKind.VLLM, EngineKind.LLAMACPP
BOTH = {VLLM, LLAMACPP}


@pytest.mark.parametrize(
    ("tier", "fallback", "deployed", "kinds"),
    [
        (Tier.STANDARD, Fallback.ALWAYS, BOTH, (VLLM, LLAMACPP)),
        (Tier.LIGHTWEIGHT, Fallback.ALWAYS, BOTH, (LLAMACPP, VLLM)),
        (Tier.STANDARD, Fallback.LIGHTWEIGHT_ONLY, BOTH, (VLLM, LLAMACPP)),
        (Tier.LIGHTWEIGHT, Fallback.LIGHTWEIGHT_ONLY, BOTH, (LLAMACPP,)),
        (Tier.STANDARD, Fallback.NEVER, BOTH, (VLLM,)),
        (Tier.LIGHTWEIGHT, Fallback.NEVER, BOTH, (LLAMACPP,)),
        # What is not deployed cannot be at home: the other kind is no fallback then.
        (Tier.STANDARD, Fallback.NEVER, {LLAMACPP}, (LLAMACPP,)),
        (Tier.LIGHTWEIGHT, Fallback.LIGHTWEIGHT_ONLY, {VLLM}, (VLLM, LLAMACPP)),
        (Tier.STANDARD, Fallback.NEVER, set(), (VLLM,)),
    ],
)
def test_the_tier_goes_first_and_the_policy_says_what_may_follow(
    tier: Tier, fallback: Fallback, deployed: Any, kinds: tuple[EngineKind, ...]
) -> None:
    assert kinds_in_order(tier, fallback, deployed) == kinds


def test_a_deployment_that_is_scaled_to_nothing_counts_only_while_it_sleeps(cast: Cast) -> None:
    sleeping = Deployment.objects.create(base_model=cast.base_model, engine_kind=VLLM, replicas=0)
    assert policy_of(cast.support.pk).deployed == {cast.base_model.pk: {"llamacpp"}}
    sleeping.asleep_since = sleeping.created_at
    sleeping.save()
    assert policy_of(cast.support.pk).deployed == {cast.base_model.pk: {"llamacpp", "vllm"}}


def test_a_change_of_policy_is_audited(cast: Cast) -> None:
    department_fall_back(department=cast.support, fallback=Fallback.NEVER, by=cast.people["olga"])
    assert policy_of(cast.support.pk).fallback is Fallback.NEVER
    event = AuditEvent.objects.get(action="department.fall_back")
    assert (event.department, event.details) == (cast.support, {"before": "always", "after": "never"})
