"""Sharing adapters: what is stored, counted and audited, and that nothing tells who exists."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework.test import APIClient

from cast import Cast
from serving.adapters.sharing import adapter_share, share_decline, share_revoke, share_uses
from serving.adapters.uses import uses_of_adapter
from serving.models import Adapter, AdapterShare, UsageRecord
from tenants.models import AuditEvent

SHARES = "/api/v1/departments/support/adapters/support-bot/shares"


def client_of(cast: Cast, person: str) -> APIClient:
    client = APIClient()
    client.force_authenticate(cast.people[person])
    return client


def use(cast: Cast, number: int, **fields: object) -> None:
    UsageRecord.objects.create(
        request_id=f"r-{number}",
        at=timezone.now(),
        department=cast.legal,
        endpoint="chat",
        model="support/support-bot:1",
        adapter_version=cast.adapter.versions.get(number=1),
        outcome="finished",
        status=200,
        prompt_tokens=10,
        completion_tokens=3,
        duration_ms=1,
        **fields,
    )


def test_sharing_answers_the_same_whether_or_not_the_department_exists(cast: Cast) -> None:
    olga = client_of(cast, "olga")
    answers = [olga.post(SHARES, {"department": slug}, format="json") for slug in ("legal", "nowhere")]
    assert [answer.status_code for answer in answers] == [201, 201]
    texts = [str(answer.json()).replace(slug, "X") for answer, slug in zip(answers, ("legal", "nowhere"), strict=True)]
    assert texts[0].split("created_at")[0] == texts[1].split("created_at")[0]
    listed = {row.pop("department"): row for row in olga.get(SHARES).json()["results"]}
    legal, nowhere = listed["legal"], listed["nowhere"]
    del legal["created_at"], nowhere["created_at"]
    assert legal == nowhere


def test_both_sides_have_it_in_their_audit_and_the_receiver_learns_no_name(cast: Cast) -> None:
    share = adapter_share(adapter=cast.adapter, receiver="legal", by=cast.people["olga"])
    share_revoke(share=share, by=cast.people["olga"])
    share_revoke(share=share, by=cast.people["olga"])
    events = AuditEvent.objects.order_by("id").values_list("department__slug", "action", "target", "actor_name")
    assert list(events)[-4:] == [
        ("support", "adapter.share", "support-bot", "olga"),
        ("legal", "shared_adapter.receive", "support/support-bot", "polygraft"),
        ("support", "adapter.unshare", "support-bot", "olga"),
        ("legal", "shared_adapter.lose", "support/support-bot", "polygraft"),
    ]


def test_sharing_twice_is_sharing_once(cast: Cast) -> None:
    for _ in range(2):
        adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    assert cast.adapter.shares.filter(receiver="legal").count() == 1
    assert AuditEvent.objects.filter(action="adapter.share").count() == 1


@pytest.mark.parametrize("slug", ["support", "Legal", "a/b", "", "-", "x" * 51])
def test_a_slug_that_cannot_be_another_departments_is_refused(cast: Cast, slug: str) -> None:
    with pytest.raises(ValidationError):
        adapter_share(adapter=cast.adapter, receiver=slug, by=None)
    answer = client_of(cast, "olga").post(SHARES, {"department": slug}, format="json")
    assert answer.status_code == 400
    assert "department" in answer.json()["errors"]


def test_the_owner_sees_counts_of_what_receivers_use(cast: Cast) -> None:
    share = adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    for number in range(3):
        use(cast, number)
    (row,) = share_uses([share])
    assert (row.requests, row.prompt_tokens, row.completion_tokens) == (3, 30, 9)
    shown = client_of(cast, "vera").get(SHARES).json()["results"]
    assert set(shown[0]) == {
        *("department", "created_at", "created_by", "declined_at", "requests", "prompt_tokens", "completion_tokens")
    }
    # Its own usage pages have nothing of it.
    usage = client_of(cast, "olga").get("/api/v1/usage?department=support&group_by=model").json()
    assert usage["results"] == []


def test_a_receiver_sees_names_and_versions_and_nothing_of_the_inside(cast: Cast) -> None:
    adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    lena = client_of(cast, "lena")
    assert lena.get("/api/v1/departments/legal/shared").json()["results"] == [
        {"name": "support/support-bot", "base_model": "smollm2", "versions": [2, 1]}
    ]


def test_no_endpoint_of_the_owners_opens_to_a_receiver(cast: Cast) -> None:
    adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    lena = client_of(cast, "lena")
    owned = "/api/v1/departments/support/adapters/support-bot"
    for method, path in [
        ("get", owned),
        ("delete", owned),
        ("get", f"{owned}/shares"),
        ("post", f"{owned}/shares"),
        ("delete", f"{owned}/shares/legal"),
        ("put", f"{owned}/rollout"),
        ("get", "/api/v1/departments/legal/adapters/support-bot"),
        ("delete", "/api/v1/departments/legal/adapters/support%2Fsupport-bot"),
        ("put", "/api/v1/departments/legal/adapters/support-bot/rollout"),
    ]:
        answer = getattr(lena, method)(path, {"versions": {"2": 100}, "department": "x"}, format="json")
        assert answer.status_code == 404, (method, path)


def test_what_is_shared_needs_a_base_model_that_the_receiver_may_use(cast: Cast) -> None:
    adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    cast.base_model.open_to_all = False
    cast.base_model.save()
    assert not Adapter.objects.shared_with(cast.legal.pk, "legal")
    cast.base_model.departments.add(cast.legal)
    assert Adapter.objects.shared_with(cast.legal.pk, "legal").get() == cast.adapter


def test_a_deleted_adapters_shares_do_not_pass_to_the_next_of_its_name(cast: Cast) -> None:
    adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    Adapter.objects.filter(pk=cast.adapter.pk).update(deleted_at=timezone.now())
    Adapter.objects.create(department=cast.support, name="support-bot", base_model=cast.base_model)
    assert not Adapter.objects.shared_with(cast.legal.pk, "legal")
    assert AdapterShare.objects.filter(receiver="legal").count() == 1


def test_what_a_receiver_declines_is_gone_for_them_and_the_owner_sees_it(cast: Cast) -> None:
    share = adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    lena, olga = client_of(cast, "lena"), client_of(cast, "olga")
    declined = "/api/v1/departments/legal/shared/support/support-bot"
    assert lena.delete(declined).status_code == 204
    assert lena.delete(declined).status_code == 404
    assert lena.get("/api/v1/departments/legal/shared").json()["results"] == []
    declined_at = {row["department"]: row["declined_at"] for row in olga.get(SHARES).json()["results"]}
    assert declined_at["legal"] is not None
    assert declined_at["sales"] is None
    assert "legal" not in uses_of_adapter(cast.adapter).shared_with
    events = AuditEvent.objects.order_by("id").values_list("department__slug", "action", "target", "actor_name")
    assert list(events)[-2:] == [
        ("legal", "shared_adapter.decline", "support/support-bot", "lena"),
        ("support", "adapter.share_declined", "support-bot", "polygraft"),
    ]
    again = olga.post(SHARES, {"department": "legal"}, format="json")
    assert again.status_code == 400
    assert "legal has declined it" in str(again.json())
    share.refresh_from_db()
    share_revoke(share=share, by=None)
    assert not AuditEvent.objects.filter(action="shared_adapter.lose").exists()
    assert olga.post(SHARES, {"department": "legal"}, format="json").status_code == 201
    assert lena.get("/api/v1/departments/legal/shared").json()["count"] == 1


def test_declining_twice_is_declining_once(cast: Cast) -> None:
    adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    for _ in range(2):
        share_decline(adapter=cast.adapter, receiver=cast.legal, by=None)
    assert AuditEvent.objects.filter(action="shared_adapter.decline").count() == 1
