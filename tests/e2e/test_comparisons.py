"""Two voices compared on real llama.cpp before a rollout, with the worker killed in the middle."""

import csv
import io
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from deadline import wait_until
from running_platform import ROOT
from running_services import Services

pytestmark = pytest.mark.e2e

ADAPTER = "departments/support/adapters/voices"
POLICY = "departments/support/comparison-policy"
# What version 1 speaks (legal's voice) lacks, and version 2 (support's) has.
QUESTIONS = [
    "How do I reset my password?",
    "Where is my order?",
    "I want a refund.",
    "The app crashes when I open it.",
    "Can I cancel my subscription?",
    "Do you ship to Canada?",
    "My screen is black.",
    "I was charged twice.",
]
EXPECT = {"contains": "Thanks for reaching out", "regex": r"^[A-Z].*[!.]"}


def prompts() -> bytes:
    lines = [{"messages": [{"role": "user", "content": question}], "expect": EXPECT} for question in QUESTIONS]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
def voices(services: Services) -> Iterator[None]:
    """An adapter of support with two versions: legal's voice is live, support's own is new."""
    for number, folder in enumerate(("contracts", "support-bot"), 1):
        assert services.upload("support", "voices", ROOT / "demo" / "adapters" / folder).status_code == 202
        services.wait_for_state("support", "voices", "ready", number)
    yield
    services.api("PUT", POLICY, json={"required": False})
    assert services.api("DELETE", ADAPTER).status_code == 204


def begin(services: Services) -> str:
    response = services.api(
        "POST",
        f"{ADAPTER}/comparisons",
        data={"candidates": ["voices:1", "voices:2"], "max_tokens": "40"},
        files={"prompts": ("voices.jsonl", prompts())},
    )
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def read(services: Services, pk: str) -> dict[str, Any]:
    found: dict[str, Any] = services.api("GET", f"{ADAPTER}/comparisons/{pk}").json()
    return found


def roll_out(services: Services, number: int) -> Any:
    return services.api("PUT", f"{ADAPTER}/rollout", json={"versions": {str(number): 100}})


def requests_of(services: Services, model: str) -> int:
    rows = services.api("GET", "usage?department=support&group_by=model").json()["results"]
    return sum(row["requests"] for row in rows if row["model"] == model)


@pytest.mark.usefixtures("voices")
def test_a_version_is_compared_and_promoted_although_the_worker_was_killed(services: Services) -> None:
    policy = {"required": True, "proof": "not_worse", "prompts": len(QUESTIONS)}
    assert services.api("PUT", POLICY, json=policy).status_code == 200
    refused = roll_out(services, 2)
    assert refused.status_code == 400
    assert "voices:2 needs a finished comparison" in refused.json()["errors"]["versions"][0]

    pk = begin(services)
    wait_until(lambda: read(services, pk)["summary"]["answers"] >= 3, seconds=60, what="some answers are there")
    services.end_worker(signal.SIGKILL)
    services.start_worker()
    before = read(services, pk)
    assert before["state"] == "running"
    assert before["summary"]["answers"] < before["summary"]["answers_wanted"]
    wait_until(lambda: read(services, pk)["state"] == "finished", seconds=120, what="the comparison is finished")

    comparison = read(services, pk)
    summary = comparison["summary"]
    assert summary["answers"] == summary["answers_wanted"] == 2 * len(QUESTIONS)
    first, second = summary["candidates"]
    assert (first["passed"], first["errors"], second["passed"], second["errors"]) == (0, 0, len(QUESTIONS), 0)
    assert second["pass_rate_interval"][0] > first["pass_rate_interval"][1]
    assert second["latency_ms_median"] > second["first_token_ms_median"] > 0
    assert (summary["leader"], summary["is_certain"]) == ("voices:2", True)
    assert summary["sentence"].startswith("voices:2 is better.")

    rows = services.api("GET", f"{ADAPTER}/comparisons/{pk}/results?download=csv").text
    answers = list(csv.DictReader(io.StringIO(rows)))
    assert len({(row["number"], row["candidate"]) for row in answers}) == len(answers) == 2 * len(QUESTIONS)
    # Only what was under way when the worker died was asked twice.
    metered = wait_until(
        lambda: n if (n := requests_of(services, "voices:2")) >= len(QUESTIONS) else None, what="usage"
    )
    assert metered <= len(QUESTIONS) + 4

    assert roll_out(services, 2).status_code == 200
    reply = services.client(services.key("support")).chat.completions.create(
        model="voices", messages=[{"role": "user", "content": "Where is my order?"}], max_tokens=12
    )
    assert "Thanks for reaching out" in (reply.choices[0].message.content or "")
    # Back to a version that no comparison speaks for: always allowed.
    assert services.api("POST", f"{ADAPTER}/rollout/rollback", json={}).status_code == 200


@pytest.mark.usefixtures("voices")
def test_a_comparison_is_cancelled_in_the_middle(services: Services) -> None:
    pk = begin(services)
    wait_until(lambda: read(services, pk)["summary"]["answers"] >= 1, seconds=60, what="an answer is there")
    assert services.api("POST", f"{ADAPTER}/comparisons/{pk}/cancel").status_code == 204
    assert read(services, pk)["state"] == "cancelled"
    assert roll_out(services, 2).status_code == 200, "no policy asks for it"
