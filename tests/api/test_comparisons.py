"""Comparisons and the policy about them over REST."""

import csv
import io
import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from cast import Cast
from serving.comparisons.policy import policy_set
from serving.models import Comparison, ComparisonAnswer
from serving.models.comparison import Proof
from tenants.models import AuditEvent

URL = "/api/v1/departments/support/adapters/support-bot/comparisons"
PAIR = ["support-bot:1", "support-bot:2"]
PROMPT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "expect": {"contains": "Hello"}}


@pytest.fixture
def client(cast: Cast) -> APIClient:
    client = APIClient()
    client.force_authenticate(cast.people["dan"])
    return client


def begin(client: APIClient, **changes: Any) -> Any:
    return client.post(URL, {"candidates": PAIR, "prompts": [PROMPT], **changes}, format="json")


def answer(comparison: Comparison, candidate: int, text: str, passed: bool | None = True, **fields: Any) -> None:
    ComparisonAnswer.objects.create(
        prompt=comparison.prompts.get(number=1), candidate=candidate, text=text, passed=passed, **fields
    )


def test_a_comparison_begins_from_json(client: APIClient) -> None:
    response = begin(client, name="smoke", temperature=0.5, seed=1)
    assert response.status_code == 202
    made = response.json()
    assert (made["state"], made["prompt_count"], made["created_by"]) == ("queued", 1, "dan")
    assert made["sampling"] == {"temperature": 0.5, "max_tokens": 256, "seed": 1}
    comparison = Comparison.objects.get(pk=made["id"])
    assert comparison.prompts.get().expect == {"contains": "Hello"}
    assert AuditEvent.objects.get(action="comparison.create").details["candidates"] == PAIR


def test_a_comparison_begins_from_a_file(client: APIClient) -> None:
    content = json.dumps(PROMPT).encode() + b"\n" + b'{"prompt": "Once"}\n'
    body = {"candidates": [*PAIR, "base"], "prompts": SimpleUploadedFile("smoke.jsonl", content)}
    response = client.post(URL, body, format="multipart")
    assert response.status_code == 202
    made = response.json()
    assert (made["name"], made["candidates"], made["prompt_count"]) == ("smoke.jsonl", [*PAIR, "base"], 2)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"candidates": ["support-bot:1"]}, "candidates", "Choose 2 to 5 candidates; 1 are chosen."),
        ({"candidates": ["support-bot:1", "support-bot:9"]}, "candidates", "support-bot:9 is no ready version"),
        ({"candidates": ["support-bot:1", "clauses:1"]}, "candidates", "clauses:1 is no ready version"),
        ({"candidates": ["support-bot:1", "support-bot:1"]}, "candidates", "support-bot:1 is there twice."),
        ({"prompts": []}, "prompts", "There are no prompts."),
        ({"prompts": [PROMPT, 1]}, "prompts", "Prompt 2: It is not an object."),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
    ],
)
def test_a_wrong_wish_is_refused_beside_its_field(
    client: APIClient, changes: dict[str, Any], field: str, words: str
) -> None:
    response = begin(client, **changes)
    assert response.status_code == 400
    assert words in " ".join(response.json()["errors"][field])
    assert Comparison.objects.count() == 1, "the cast's own"


def test_a_base_model_that_is_not_open_to_the_department_is_no_candidate(client: APIClient, cast: Cast) -> None:
    cast.base_model.open_to_all = False
    cast.base_model.save()
    response = begin(client, candidates=["support-bot:1", "base"])
    assert "smollm2 is not open to support" in response.json()["errors"]["candidates"][0]


def test_progress_and_figures_are_told(client: APIClient) -> None:
    comparison = Comparison.objects.get(pk=begin(client).json()["id"])
    answer(comparison, 1, "Hello", latency_ms=100.0, first_token_ms=20.0, completion_tokens=2)
    summary = client.get(f"{URL}/{comparison.pk}").json()["summary"]
    assert (summary["answers"], summary["answers_wanted"], summary["leader"]) == (1, 2, "support-bot:2")
    second = summary["candidates"][1]
    assert (second["passed"], second["pass_rate"], second["latency_ms_median"]) == (1, 1.0, 100.0)
    assert second["pass_rate_interval"] == pytest.approx([0.2065, 1.0], abs=1e-4)


def test_results_are_paged_narrowed_and_searched(client: APIClient) -> None:
    comparison = Comparison.objects.get(pk=begin(client, prompts=[PROMPT, {"prompt": "Ünder"}]).json()["id"])
    answer(comparison, 0, "Hello")
    answer(comparison, 1, "Goodbye", passed=False, reason="It does not contain “Hello”.")

    def numbers(query: str) -> list[int]:
        return [row["number"] for row in client.get(f"{URL}/{comparison.pk}/results?{query}").json()["results"]]

    assert numbers("") == [1, 2]
    assert numbers("page_size=1&page=2") == [2]
    assert numbers("show=differing") == [1]
    assert numbers("show=failing") == [1]
    assert numbers("search=goodb") == [1]
    assert numbers("search=nder") == [2]
    assert numbers("search=nowhere") == []


def test_results_are_downloaded_as_jsonl_and_csv(client: APIClient) -> None:
    comparison = Comparison.objects.get(pk=begin(client).json()["id"])
    answer(comparison, 0, "=1+1")
    answer(comparison, 1, "Hello,\nyou")
    response = client.get(f"{URL}/{comparison.pk}/results?download=jsonl")
    assert response["Content-Disposition"].startswith('attachment; filename="support-bot-')
    (line,) = response.content.splitlines()
    assert [one["answer"] for one in json.loads(line)["answers"]] == ["=1+1", "Hello,\nyou"]
    response = client.get(f"{URL}/{comparison.pk}/results?download=csv")
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert [row["candidate"] for row in rows] == PAIR
    assert [row["answer"] for row in rows] == ["'=1+1", "Hello,\nyou"], "no formula in a spreadsheet"


def test_a_comparison_is_cancelled_once(client: APIClient, cast: Cast) -> None:
    url = f"{URL}/{cast.comparison.pk}/cancel"
    assert client.post(url).status_code == 204
    response = client.post(url)
    assert response.status_code == 409
    assert response.json()["detail"] == "It is cancelled already."


def test_a_deleted_comparison_is_gone_with_its_answers(client: APIClient) -> None:
    comparison = Comparison.objects.get(pk=begin(client).json()["id"])
    answer(comparison, 0, "Hello")
    assert client.delete(f"{URL}/{comparison.pk}").status_code == 204
    assert client.get(f"{URL}/{comparison.pk}").status_code == 404
    assert not ComparisonAnswer.objects.exists()
    assert AuditEvent.objects.filter(action="comparison.delete").exists()


def test_the_policy_is_set_and_keeps_a_version_back(client: APIClient, cast: Cast) -> None:
    owner = APIClient()
    owner.force_authenticate(cast.people["olga"])
    url = "/api/v1/departments/support/comparison-policy"
    assert owner.get(url).json() == {"required": False, "proof": "not_worse", "prompts": 20, "pass_rate": 90}
    wished = {"required": True, "proof": "pass_rate", "prompts": 5, "pass_rate": 80}
    assert owner.put(url, wished).json() == wished
    assert client.get(url).json() == wished
    rollout = client.put("/api/v1/departments/support/adapters/support-bot/rollout", {"versions": {"2": 100}})
    assert rollout.status_code == 400
    assert "support-bot:2 needs a finished comparison" in rollout.json()["errors"]["versions"][0]
    assert owner.put(url, {**wished, "pass_rate": 0}).status_code == 400


@pytest.mark.parametrize(("person", "status"), [("dan", 403), ("olga", 403), ("ada", 200)])
def test_only_an_admin_rolls_out_despite_the_policy(cast: Cast, person: str, status: int) -> None:
    policy_set(
        department=cast.support, required=True, proof=Proof.NOT_WORSE, prompts=5, pass_rate=90, by=cast.people["olga"]
    )
    client = APIClient()
    client.force_authenticate(cast.people[person])
    url = "/api/v1/departments/support/adapters/support-bot/rollout"
    wish = {"versions": {"2": 100}, "despite_gates": True}
    assert client.put(url, wish, format="json").status_code == status
    assert client.put(url, {"versions": {"2": 100}}, format="json").status_code == (200 if status == 200 else 400)
