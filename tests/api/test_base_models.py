"""Base models through the management API: what their tokens cost."""

from decimal import Decimal

from rest_framework.test import APIClient

from cast import Cast
from serving.accounting.prices import Prices
from tenants.models import AuditEvent


def client_of(cast: Cast, person: str) -> APIClient:
    client = APIClient()
    client.force_authenticate(cast.people[person])
    return client


def test_an_admin_changes_prices_and_the_audit_keeps_the_old_ones(cast: Cast) -> None:
    body = {"prices": {"prompt": "0.15", "cached": "0.05", "completion": "0.6"}}
    answer = client_of(cast, "ada").patch("/api/v1/base-models/smollm2", body, format="json")
    assert answer.json()["prices"] == {"prompt": "0.150000", "cached": "0.050000", "completion": "0.600000"}
    cast.base_model.refresh_from_db()
    assert cast.base_model.prices == Prices(Decimal("0.15"), Decimal("0.05"), Decimal("0.6"))
    details = AuditEvent.objects.get(action="base_model.reprice").details
    assert details["before"] == {"prompt": "0", "cached": "0", "completion": "0"}
    assert details["after"] == {"prompt": "0.15", "cached": "0.05", "completion": "0.6"}


def test_without_a_price_for_cached_tokens_they_cost_what_others_do(cast: Cast) -> None:
    body = {"prices": {"prompt": "0.15", "completion": "0.6"}}
    answer = client_of(cast, "ada").patch("/api/v1/base-models/smollm2", body, format="json")
    assert answer.json()["prices"]["cached"] == "0.150000"


def test_a_negative_price_is_refused_beside_its_field(cast: Cast) -> None:
    body = {"prices": {"prompt": "-1", "completion": "0.6"}}
    answer = client_of(cast, "ada").patch("/api/v1/base-models/smollm2", body, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["errors"]["prices"]) == ["prompt"]


def test_everybody_who_may_use_a_base_model_sees_its_prices_but_not_its_files(cast: Cast) -> None:
    model = client_of(cast, "vera").get("/api/v1/base-models/smollm2").json()
    assert "prices" in model
    assert "gguf_path" not in model
