"""Plans over the management API, and as a command."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from cast import Cast
from demo_model import demo_model_path


def client(cast: Cast) -> APIClient:
    api = APIClient()
    api.force_authenticate(cast.people["ada"])
    return api


def test_a_plan_tells_parts_fits_options_and_the_choice(cast: Cast) -> None:
    asked = {"base_model": "smollm2", "context": 4096, "concurrency": 16, "adapters": 10, "gpu": "none"}
    answer = client(cast).post("/api/v1/plan", asked, format="json").json()
    assert answer["engine_kind"] == "llamacpp"
    llamacpp = answer["engines"]["llamacpp"]
    assert [part["name"] for part in llamacpp["parts"]] == ["weights", "kv_cache", "adapters", "working"]
    assert llamacpp["parts"][0] == {
        "name": "weights",
        "bytes": 96_576_768,
        "exact": True,
        "meaning": "0.13 billion values, GGUF, as its files are",
    }
    assert llamacpp["total_bytes"] == sum(part["bytes"] for part in llamacpp["parts"])
    made = client(cast).post(
        "/api/v1/deployments",
        {"base_model": "smollm2", "engine_kind": "llamacpp", "options": llamacpp["options"]},
        format="json",
    )
    assert made.status_code == 201


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "base_model"),
        ({"base_model": "nothing"}, "base_model"),
        ({"config": {"model_type": "mamba"}}, "config"),
        ({"base_model": "smollm2", "context": 10_000}, "context"),
        ({"base_model": "smollm2", "context": 2048, "gpu": "Abacus"}, "gpu"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_its_field(cast: Cast, asked: dict[str, Any], field: str) -> None:
    answer = client(cast).post("/api/v1/plan", asked, format="json")
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_the_command_prints_a_plan(cast: Cast) -> None:
    out = StringIO()
    call_command("plan", "smollm2", "--context", "2048", "--concurrency", "2", stdout=out)
    text = out.getvalue()
    assert "choose llamacpp" in text
    assert "92 MiB" in text
    by_file = StringIO()
    call_command("plan", str(demo_model_path()), "--context", "2048", "--concurrency", "64", stdout=by_file)
    assert "choose vllm" in by_file.getvalue()


@pytest.mark.django_db
def test_the_command_says_what_it_cannot_plan() -> None:
    with pytest.raises(CommandError, match=r"cannot be read as a model's config\.json"):
        call_command("plan", "/nowhere")
