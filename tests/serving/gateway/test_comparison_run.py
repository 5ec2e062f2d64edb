"""A comparison asks through the gateway like any client: each prompt once, whatever stops and starts."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from cast import Cast
from deadline import wait_until
from fake_engine import Fault
from polygraft.conf import config
from serving.comparisons import run
from serving.comparisons.lifecycle import comparison_cancel, comparison_create
from serving.comparisons.prompts import prompts_from_list
from serving.comparisons.run import comparison_run
from serving.gateway.turns.queue import BATCH_RANK
from serving.models import Comparison, ComparisonAnswer, VersionState
from tenants.departments import department_limit, membership_remove

from .served import Engines, Served, usage_records


@pytest.fixture
def begin(cast: Cast) -> Callable[..., Comparison]:
    """Begin a comparison of two versions: the fake engine answers with the words of the question."""

    def begin(prompts: int = 3, candidates: tuple[str, ...] = ("support-bot:1", "support-bot:2")) -> Comparison:
        lines = [
            {"messages": [{"role": "user", "content": f"question {n}"}], "expect": {"contains": f"question {n % 2}"}}
            for n in range(prompts)
        ]
        assert cast.people["dan"] is not None
        return comparison_create(
            adapter=cast.adapter,
            name="questions",
            candidates=candidates,
            prompts=prompts_from_list(lines),
            sampling={"temperature": 0, "max_tokens": 4},
            by=cast.people["dan"],
        )

    return begin


@pytest.fixture
def gateway(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Served]:
    """A maker of the gateway that comparisons ask, after its engines have started."""

    def gateway() -> Served:
        served = serve()
        monkeypatch.setattr(config(), "gateway_url", served.url)
        return served

    return gateway


def answers(comparison: Comparison) -> list[ComparisonAnswer]:
    return list(ComparisonAnswer.objects.filter(prompt__comparison=comparison).order_by("prompt__number", "candidate"))


def state(comparison: Comparison) -> str:
    comparison.refresh_from_db()
    return comparison.state


def test_every_candidate_answers_every_prompt_once(cast: Cast, engines: Engines, gateway, begin) -> None:
    engine = engines.start(kind="vllm", slots=4)  # with slots there are turns, and turns have a rank
    gateway()
    comparison = begin()
    comparison_run(str(comparison.pk))
    assert state(comparison) == "finished"
    assert comparison.started_at <= comparison.finished_at
    found = answers(comparison)
    assert [(one.prompt.number, one.candidate, one.passed) for one in found] == [
        *((1, 0, True), (1, 1, True)),
        *((2, 0, True), (2, 1, True)),
        *((3, 0, False), (3, 1, False)),
    ]
    assert {one.error for one in found} == {""}
    assert found[0].text.startswith("question 0")
    assert all(one.latency_ms >= one.first_token_ms > 0 and one.completion_tokens == 8 for one in found)
    assert found[4].reason == "It does not contain “question 0”."
    stats = engine.stats()
    assert stats["completed"] == 6
    assert stats["last_body"]["priority"] >= BATCH_RANK
    assert stats["last_body"]["max_tokens"] == 4


def test_its_requests_are_on_the_account_of_who_began_it(cast: Cast, engines: Engines, gateway, begin) -> None:
    engines.start()
    gateway()
    comparison_run(str(begin(prompts=1).pk))
    records = wait_until(lambda: found if len(found := usage_records()) == 2 else None, what="records")
    assert {record["user_id"] for record in records} == {cast.people["dan"].pk}  # type: ignore[union-attr]
    assert {record["department_id"] for record in records} == {cast.support.pk}
    assert {record["model"] for record in records} == {"support-bot:1", "support-bot:2"}


def test_the_base_model_is_a_candidate_and_plain_prompts_are_completed(
    cast: Cast, engines: Engines, gateway, begin
) -> None:
    engine = engines.start()
    gateway()
    assert cast.people["dan"] is not None
    comparison = comparison_create(
        adapter=cast.adapter,
        name="plain",
        candidates=["support-bot:2", "base"],
        prompts=prompts_from_list([{"prompt": "Once upon", "max_tokens": 2}]),
        sampling={"temperature": 0, "max_tokens": 4},
        by=cast.people["dan"],
    )
    comparison_run(str(comparison.pk))
    assert state(comparison) == "finished"
    assert [(one.passed, bool(one.text)) for one in answers(comparison)] == [(None, True), (None, True)]
    last = engine.stats()["last_body"]
    assert (last["prompt"], last["max_tokens"]) == ("Once upon", 2)
    models = {record["model"] for record in wait_until(usage_records, what="records")}
    assert models <= {"support-bot:2", "smollm2"}


def test_a_turn_ends_in_the_middle_and_the_next_asks_only_what_is_left(
    engines: Engines, gateway, begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines.start(ttft=0.05)
    gateway()
    monkeypatch.setattr(run, "_TURN_SECONDS", 0.12)
    monkeypatch.setattr(config(), "comparison_requests", 2)
    comparison = begin(prompts=5)
    turns = 0
    while state(comparison) != "finished":
        comparison_run(str(comparison.pk))
        turns += 1
        assert turns < 20
    assert turns > 1
    assert len(answers(comparison)) == engine.stats()["completed"] == 10


def test_what_a_killed_worker_left_goes_on_when_its_claim_has_run_out(engines: Engines, gateway, begin) -> None:
    engine = engines.start()
    gateway()
    comparison = begin()
    ComparisonAnswer.objects.create(prompt=comparison.prompts.all()[0], candidate=1, text="kept")
    claim = {"state": "running", "claim": comparison.pk}
    alive = timezone.now() + timedelta(seconds=10)
    Comparison.objects.filter(pk=comparison.pk).update(**claim, claimed_until=alive)
    comparison_run(str(comparison.pk))
    assert len(answers(comparison)) == 1, "another worker has it"
    Comparison.objects.filter(pk=comparison.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
    comparison_run(str(comparison.pk))
    assert state(comparison) == "finished"
    assert engine.stats()["completed"] == 5
    assert answers(comparison)[1].text == "kept"


def test_cancelling_ends_what_is_under_way_and_keeps_what_was_answered(
    engines: Engines, gateway, begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines.start(tps=1)
    gateway()
    monkeypatch.setattr(run, "_WATCH_SECONDS", 0.05)
    comparison = begin(prompts=2)
    ComparisonAnswer.objects.create(prompt=comparison.prompts.all()[0], candidate=0, text="kept")

    def work() -> None:
        comparison_run(str(comparison.pk))
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    wait_until(lambda: engine.stats()["running"] == 3, what="requests run")
    assert comparison_cancel(comparison=comparison, by=None)
    worker.join(timeout=60)
    assert not worker.is_alive()
    wait_until(lambda: engine.stats()["running"] == 0, what="they have ended")
    assert state(comparison) == "cancelled"
    assert [one.text for one in answers(comparison)] == ["kept"]


def test_a_line_that_fails_has_its_error_and_the_others_go_on(cast: Cast, engines: Engines, gateway, begin) -> None:
    engines.start()
    comparison = begin(prompts=2)
    cast.adapter.versions.filter(number=2).update(state=VersionState.ARCHIVED)
    gateway()
    comparison_run(str(comparison.pk))
    assert state(comparison) == "finished"
    found = answers(comparison)
    assert [one.passed for one in found] == [True, False, True, False]
    assert "does not exist" in found[1].error
    assert found[1].reason == "There is no answer."


def test_an_engine_that_fails_is_an_error_of_the_line(engines: Engines, gateway, begin) -> None:
    engines.start(Fault.MID_STREAM)
    gateway()
    comparison = begin(prompts=1)
    comparison_run(str(comparison.pk))
    assert state(comparison) == "finished"
    assert [(bool(one.error), one.passed) for one in answers(comparison)] == [(True, False)] * 2


def test_a_limit_is_waited_for(cast: Cast, engines: Engines, gateway, begin) -> None:
    department_limit(department=cast.support, limits={"concurrent_requests": 1}, by=None)
    engines.start(ttft=0.05)
    gateway()
    comparison = begin(prompts=2)
    comparison_run(str(comparison.pk))
    assert state(comparison) == "finished"
    assert [one.error for one in answers(comparison)] == [""] * 4


def test_while_the_gateway_is_away_it_waits_and_says_so(
    engines: Engines, gateway, begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config(), "gateway_url", "http://127.0.0.1:9")
    comparison = begin(prompts=1)
    comparison_run(str(comparison.pk))
    assert state(comparison) == "running"
    assert comparison.problem.startswith("The gateway cannot be reached at http://127.0.0.1:9;")
    assert comparison.claimed_until is None
    engines.start()
    gateway()
    comparison_run(str(comparison.pk))
    assert (state(comparison), comparison.problem) == ("finished", "")


def test_it_ends_when_who_began_it_has_left_the_department(cast: Cast, engines: Engines, gateway, begin) -> None:
    engine = engines.start()
    gateway()
    comparison = begin(prompts=1)
    membership_remove(membership=cast.support.memberships.get(user=cast.people["dan"]), by=None)
    comparison_run(str(comparison.pk))
    assert state(comparison) == "failed"
    assert comparison.problem.startswith("dan may not use the models of support any more.")
    assert engine.stats()["requests"] == 0


def test_a_comparison_that_is_deleted_meanwhile_does_no_harm(engines: Engines, gateway, begin) -> None:
    engines.start()
    gateway()
    comparison = begin(prompts=1)
    pk = str(comparison.pk)
    comparison.delete()
    comparison_run(pk)
    assert not ComparisonAnswer.objects.exists()
