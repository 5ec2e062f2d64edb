"""Usage events on their way from Redis to the database."""

import time
from collections.abc import Iterator

import orjson
import pytest

from cast import Cast
from polygraft.live import redis_client
from serving.accounting.usage import STREAM, usage_store
from serving.models import UsageRecord


@pytest.fixture(autouse=True)
def _empty_stream() -> Iterator[None]:
    redis_client().delete(STREAM)
    yield
    redis_client().delete(STREAM)


def emit(cast: Cast, request_id: str, **fields: object) -> None:
    event = {
        "request_id": request_id,
        "at": time.time(),
        "department_id": cast.support.pk,
        "key_id": cast.key.pk,
        "user_id": None,
        "endpoint": "/v1/chat/completions",
        "model": "support-bot:1",
        "base_model_id": cast.base_model.pk,
        "adapter_version_id": cast.adapter.versions.get(number=1).pk,
        "engine_kind": "llamacpp",
        "engine_id": str(cast.engine.pk),
        "outcome": "finished",
        "status": 200,
        "streamed": True,
        "prompt_tokens": 12,
        "cached_tokens": 0,
        "completion_tokens": 30,
        "first_token_ms": 40.5,
        "duration_ms": 900.0,
        **fields,
    }
    redis_client().xadd(STREAM, {"record": orjson.dumps(event)})


def test_an_event_becomes_a_record(cast: Cast) -> None:
    emit(cast, "r-1")
    assert usage_store() == 1
    record = UsageRecord.objects.get()
    assert (record.department, record.key, record.completion_tokens) == (cast.support, cast.key, 30)
    assert redis_client().xlen(STREAM) == 0


def test_the_same_event_twice_is_one_record(cast: Cast) -> None:
    emit(cast, "r-1")
    emit(cast, "r-1")
    usage_store()
    emit(cast, "r-1")
    usage_store()
    assert UsageRecord.objects.count() == 1


def test_a_key_deleted_meanwhile_loses_no_record(cast: Cast) -> None:
    emit(cast, "r-1")
    cast.key.delete()
    usage_store()
    assert UsageRecord.objects.get().key is None


def test_an_unreadable_event_stops_nothing(cast: Cast) -> None:
    redis_client().xadd(STREAM, {"record": b"{"})
    emit(cast, "r-1")
    usage_store()
    assert UsageRecord.objects.count() == 1
    assert redis_client().xlen(STREAM) == 0


def test_what_a_dead_worker_took_is_taken_over(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.accounting.usage._ABANDONED_MS", 0)
    emit(cast, "r-1")
    redis_client().xgroup_create(STREAM, "database", id="0")
    redis_client().xreadgroup("database", "dead", {STREAM: ">"})
    usage_store()
    assert UsageRecord.objects.count() == 1


def test_a_model_name_as_long_as_its_caller_liked_stops_nothing(cast: Cast) -> None:
    emit(cast, "r-1", model="\0" + "a" * 5000, outcome="refused", status=404)
    usage_store()
    assert UsageRecord.objects.get().model == "a" * 200


def test_an_event_that_the_database_refuses_stops_nothing(cast: Cast) -> None:
    emit(cast, "r-1", status=-1)
    emit(cast, "r-2")
    usage_store()
    assert [record.request_id for record in UsageRecord.objects.all()] == ["r-2"]


def test_a_field_that_only_newer_gateways_know_is_no_trouble(cast: Cast) -> None:
    emit(cast, "r-1", mood="cheerful")
    usage_store()
    assert UsageRecord.objects.count() == 1
