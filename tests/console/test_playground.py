"""The playground's page and its ticket."""

from cast import Cast
from serving.models import BaseModel
from tenants.grants import grant_resolve

TRY = "/departments/support/try/"


def test_a_ticket_opens_the_gateway_for_this_person_and_department(cast: Cast, sign_in) -> None:
    answer = sign_in("vera").post(f"{TRY}ticket")
    assert "no-store" in answer["Cache-Control"]
    grant = grant_resolve(answer.json()["ticket"])
    assert grant is not None
    vera = cast.people["vera"]
    assert vera is not None
    assert (grant.department, grant.user_id, grant.key_id) == ("support", vera.pk, None)
    assert grant.ends_at is not None
    assert abs((grant.ends_at.timestamp()) - _moment(answer.json()["expires_at"])) < 2


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def test_the_page_offers_what_the_department_may_call(cast: Cast, sign_in) -> None:
    hidden = BaseModel.objects.create(name="hidden", gguf_path="/x", open_to_all=False)
    hidden.departments.add(cast.legal)
    page = sign_in("vera").get(TRY)
    assert [model.name for model in page.context["models"]] == ["support-bot", "smollm2"]
    assert page.context["chosen"] == "support-bot"


def test_a_model_or_a_pinned_version_is_chosen_by_the_address(sign_in) -> None:
    client = sign_in("vera")
    assert client.get(f"{TRY}?model=smollm2").context["chosen"] == "smollm2"
    pinned = client.get(f"{TRY}?model=support-bot:2")
    assert pinned.context["chosen"] == "support-bot:2"
    assert '<option value="support-bot:2" selected>' in pinned.content.decode()


def test_a_model_that_one_may_not_call_is_not_offered(sign_in) -> None:
    page = sign_in("vera").get(f"{TRY}?model=contracts")
    assert page.context["chosen"] == "support-bot"
    assert "contracts" not in page.content.decode()


def test_the_short_way_leads_to_the_first_department_that_one_may_try(sign_in) -> None:
    assert sign_in("vera").get("/try/")["Location"] == TRY
    assert sign_in("lena").get("/try/")["Location"] == "/departments/legal/try/"


def test_a_department_with_nothing_to_call_is_told_so(cast: Cast, sign_in) -> None:
    cast.base_model.open_to_all = False
    cast.base_model.save()
    cast.adapter.rollout.delete()  # type: ignore[attr-defined]
    assert "has nothing to talk to yet" in sign_in("vera").get(TRY).content.decode()
