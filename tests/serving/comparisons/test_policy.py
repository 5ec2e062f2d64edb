"""Where a department asks for a comparison before a rollout, no version goes live without one that proves enough."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from cast import DIGEST, Cast
from serving.adapters.lifecycle import version_make_ready
from serving.comparisons.policy import policy_of, policy_set, unproved
from serving.models import Adapter, AdapterVersion, VersionState
from serving.models.comparison import Proof
from serving.rollouts import rollout_set
from tenants.models import AuditEvent


@pytest.fixture
def require(cast: Cast) -> Any:
    def require(**changes: Any) -> None:
        wished = {"required": True, "proof": Proof.NOT_WORSE, "prompts": 4, "pass_rate": 75} | changes
        policy_set(department=cast.support, by=cast.people["olga"], **wished)

    return require


def roll_out(cast: Cast, **options: Any) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=cast.people["dan"], **options)


def refusal(cast: Cast) -> str:
    with pytest.raises(ValidationError) as raised:
        roll_out(cast)
    return str(raised.value.message_dict["versions"][0])


def test_without_a_policy_nothing_is_asked(cast: Cast) -> None:
    assert policy_of(cast.support) is None
    roll_out(cast)


def test_without_a_comparison_a_rollout_is_refused_with_what_to_do(cast: Cast, require) -> None:
    require()
    assert refusal(cast) == (
        "support rolls a version out only after a comparison. support-bot:2 needs a finished comparison with at least "
        "4 prompts that say what they expect, in which it is not worse than what is live now beyond chance. "
        "It was in none yet."
    )
    cast.adapter.refresh_from_db()
    assert cast.adapter.weights == {1: 100}


@pytest.mark.parametrize("state", ["queued", "running", "cancelled", "failed"])
def test_only_a_finished_comparison_proves_anything(cast: Cast, require, finished, state: str) -> None:
    require()
    finished([(True, True)] * 4, state=state)
    assert "It was in none yet" in refusal(cast)


@pytest.mark.parametrize(
    ("proof", "judgements", "candidates", "lack"),
    [
        (Proof.PASS_RATE, [(False, True)] * 3 + [(True, False)], None, None),
        (Proof.PASS_RATE, [(False, True)] * 2 + [(True, False)] * 2, None, "it passes 2 of 4 prompts"),
        (Proof.PASS_RATE, [(True, True)] * 3, None, "3 of its prompts say what they expect"),
        (Proof.PASS_RATE, [(True, True)] * 3 + [(None, None)], None, "3 of its prompts say what they expect"),
        (Proof.PASS_RATE, [(True, True)] * 4, ("support-bot:1", "base"), "It was in none yet"),
        (Proof.PASS_RATE, [(True, True)] * 4, ("base", "support-bot:2"), None),
        (Proof.NOT_WORSE, [(True, False)] * 5, None, None),  # p = 0.0625: worse, but it may be chance
        (Proof.NOT_WORSE, [(True, False)] * 6, None, "support-bot:1 passes 6 prompts that support-bot:2 does not"),
        (Proof.NOT_WORSE, [(False, True)] * 6, None, None),
        (Proof.NOT_WORSE, [(True, True)] * 4, ("base", "support-bot:2"), "support-bot:1 was not in it"),
        (Proof.NOT_WORSE, [(True, True)] * 3, None, "3 of its prompts say what they expect"),
    ],
)
def test_a_comparison_must_prove_what_the_policy_asks(
    cast: Cast, require, finished, proof: Proof, judgements: list[Any], candidates: Any, lack: str | None
) -> None:
    require(proof=proof)
    finished(judgements, candidates or ("support-bot:1", "support-bot:2"))
    if lack is None:
        roll_out(cast)
    else:
        assert lack in refusal(cast)


def test_one_comparison_that_proves_it_is_enough(cast: Cast, require, finished) -> None:
    require()
    finished([(True, True)] * 4)
    finished([(True, False)] * 9)
    roll_out(cast)


def test_a_share_of_requests_is_a_rollout_too(cast: Cast, require) -> None:
    require()
    with pytest.raises(ValidationError, match="only after a comparison"):
        rollout_set(adapter=cast.adapter, weights={1: 95, 2: 5}, by=None)


def test_what_is_live_may_get_another_share(cast: Cast, require, finished) -> None:
    cast.adapter.rollout.weights = {"1": 90, "2": 10}
    cast.adapter.rollout.save()
    require()
    roll_out(cast)


def test_an_admin_may_roll_out_despite_the_policy_and_the_audit_says_so(cast: Cast, require) -> None:
    require()
    roll_out(cast, despite_gates=True)
    assert AuditEvent.objects.get(action="rollout.set").details["despite"][0].startswith("support rolls a version out")


def test_the_audit_says_despite_only_where_a_gate_refused(cast: Cast) -> None:
    roll_out(cast, despite_gates=True)
    assert "despite" not in AuditEvent.objects.get(action="rollout.set").details


@pytest.mark.parametrize("required", [True, False])
def test_the_first_version_goes_live_by_itself_only_without_a_policy(cast: Cast, require, required: bool) -> None:
    require(required=required)
    adapter = Adapter.objects.create(department=cast.support, name="new-bot", base_model=cast.base_model)
    version = AdapterVersion.objects.create(adapter=adapter, number=1, state=VersionState.VALIDATING, digest=DIGEST)
    version_make_ready(version)
    adapter = Adapter.objects.get(pk=adapter.pk)
    assert adapter.versions.get().state == "ready"
    assert adapter.weights == ({} if required else {1: 100})
    if required:
        # Nothing is live yet, so the base model is what it is held against.
        assert unproved(adapter, [1])


def test_a_policy_is_set_and_taken_back_and_audited(cast: Cast, require) -> None:
    require(prompts=7)
    policy = policy_of(cast.support)
    assert policy is not None
    assert policy.prompts == 7
    require(prompts=9)
    require(required=False)
    assert policy_of(cast.support) is None
    changes = [event.details for event in AuditEvent.objects.filter(action="comparison_policy.set").order_by("pk")]
    assert [(d["before"]["required"], d["after"]["required"]) for d in changes] == [
        (False, True),
        (True, True),
        (True, False),
    ]


def test_a_policy_out_of_range_is_refused(cast: Cast, require) -> None:
    with pytest.raises(ValidationError):
        require(pass_rate=101)
