"""Base models through the management API: what their tokens cost, and whether they take adapters."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from cast import Cast
from serving.accounting.prices import Prices
from serving.models import BaseModel
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


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A folder with a model whose architecture no adapters are made for."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return tmp_path


def test_an_architecture_without_adapters_is_added_as_a_model_that_takes_none(cast: Cast, bert: Path) -> None:
    client, body = client_of(cast, "ada"), {"name": "bert", "hf_path": str(bert)}
    refused = client.post("/api/v1/base-models", body, format="json")
    assert refused.status_code == 400
    assert "Without adapters it can be added" in refused.json()["errors"]["hf_path"][0]
    added = client.post("/api/v1/base-models", body | {"takes_adapters": False}, format="json")
    assert (added.status_code, added.json()["takes_adapters"]) == (201, False)


@pytest.mark.parametrize(("field", "name"), [("hf_path", "config.json"), ("gguf_path", "model.gguf")])
def test_a_model_without_adapters_must_still_be_one(cast: Cast, tmp_path: Path, field: str, name: str) -> None:
    (tmp_path / name).write_text("no model")
    path = tmp_path if field == "hf_path" else tmp_path / name
    body = {"name": "none", field: str(path), "takes_adapters": False}
    answer = client_of(cast, "ada").post("/api/v1/base-models", body, format="json")
    assert answer.status_code == 400
    assert "cannot be read" in answer.json()["errors"][field][0]


def test_nothing_is_uploaded_for_a_model_that_takes_no_adapters(cast: Cast) -> None:
    BaseModel.objects.create(name="bert", hf_path="/x", takes_adapters=False)
    body = {"name": "mine", "base_model": "bert", "files": SimpleUploadedFile("adapter_config.json", b"{}")}
    answer = client_of(cast, "dan").post("/api/v1/departments/support/adapters", body, format="multipart")
    assert answer.status_code == 400
    assert answer.json()["errors"]["base_model"] == ["The base model bert takes no adapters."]
