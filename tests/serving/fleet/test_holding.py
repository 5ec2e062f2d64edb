"""Which adapters a deployment's engines hold, as admins say it."""

import pytest
from django.core.exceptions import ValidationError
from rest_framework.test import APIClient

from cast import Cast
from serving.engines.kinds import EngineKind
from serving.fleet.holding import deployment_hold, pinned_names
from serving.models import Residency
from tenants.models import AuditEvent

BOT = "support/support-bot"


def hold(cast: Cast, residency: Residency = Residency.PINNED, slots: int = 4, pinned: tuple[str, ...] = (BOT,)) -> None:
    deployment_hold(deployment=cast.deployment, residency=residency, adapter_slots=slots, pinned=pinned, by=None)


def test_it_is_saved_and_audited(cast: Cast) -> None:
    hold(cast)
    cast.deployment.refresh_from_db()
    assert (cast.deployment.residency, cast.deployment.adapter_slots) == ("pinned", 4)
    assert pinned_names(cast.deployment) == [BOT]
    event = AuditEvent.objects.get(action="deployment.hold")
    assert event.details["before"] == {"residency": "eager", "adapter_slots": 32, "pinned": []}
    assert event.details["after"] == {"residency": "pinned", "adapter_slots": 4, "pinned": [BOT]}


@pytest.mark.parametrize(
    ("pinned", "slots", "field", "words"),
    [
        (("support/other",), 4, "pinned", "There is no adapter support/other for smollm2"),
        (("support-bot",), 4, "pinned", "Write department/adapter"),
        ((BOT, "support/second"), 1, "adapter_slots", "2 adapters are to stay"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(
    cast: Cast, pinned: tuple[str, ...], slots: int, field: str, words: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        hold(cast, pinned=pinned, slots=slots)
    assert words in refused.value.message_dict[field][0]
    assert pinned_names(cast.deployment) == []


def test_a_list_goes_with_the_policy_that_needs_it(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="only where the policy is pinned"):
        hold(cast, Residency.ON_DEMAND)


def test_vllm_gets_no_more_slots_than_it_has_memory_for(cast: Cast) -> None:
    cast.deployment.engine_kind = EngineKind.VLLM
    with pytest.raises(ValidationError, match="max_cpu_loras = 64"):
        hold(cast, Residency.ON_DEMAND, slots=65, pinned=())
    cast.deployment.options = {"max_cpu_loras": 128}
    hold(cast, Residency.ON_DEMAND, slots=65, pinned=())


def test_the_api_says_what_it_was_told(cast: Cast) -> None:
    client = APIClient()
    client.force_authenticate(cast.people["ada"])
    path = f"/api/v1/deployments/{cast.deployment.pk}/residency"
    wish = {"residency": "pinned", "adapter_slots": 3, "pinned": [BOT]}
    assert client.put(path, wish, format="json").json() == wish
    assert client.get(path).json() == wish
    problem = client.put(path, wish | {"pinned": ["x/y"]}, format="json")
    assert problem.status_code == 400
    assert "There is no adapter x/y" in problem.content.decode()
