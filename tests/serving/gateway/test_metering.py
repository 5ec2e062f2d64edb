"""One usage record per request, whatever becomes of the request, of Redis and of the gateway."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from django.db.models import Sum
from prometheus_client import REGISTRY

from cast import Cast
from deadline import wait_until
from polygraft.conf import config
from serving.accounting import usage
from serving.accounting.usage import usage_store
from serving.gateway.app import Gateway
from serving.gateway.metering.journal import Journal
from serving.gateway.metering.spool import Spool
from serving.gateway.metering.usage_stream import STREAM
from serving.models import BaseModel, UsageRecord

from .other_redis import OtherRedis
from .served import CHAT, Engines, Served, one_usage_record, question, usage_records

Serve = Callable[..., Served]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("asks_for_usage", [False, True])
def test_a_finished_request_is_recorded_with_the_engines_own_count(
    client: httpx.Client, cast: Cast, stream: bool, asks_for_usage: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if stream and asks_for_usage else {}
    began = time.perf_counter()
    answer = client.post(CHAT, json=question(stream=stream, **options))
    record = one_usage_record()
    passed_ms = (time.perf_counter() - began) * 1000
    version = cast.adapter.versions.get(number=1)
    assert record == {
        "request_id": answer.headers["x-request-id"],
        "at": pytest.approx(record["at"]),
        "department_id": cast.support.pk,
        "key_id": cast.key.pk,
        "user_id": None,
        "endpoint": CHAT,
        "model": "support-bot:1",
        "base_model_id": cast.base_model.pk,
        "adapter_version_id": version.pk,
        "prices": ["0.000000", "0.000000", "0.000000"],
        "engine_kind": "llamacpp",
        "engine_id": record["engine_id"],
        "outcome": "finished",
        "status": 200,
        "streamed": stream,
        "prompt_tokens": 7,
        "cached_tokens": 1,
        "completion_tokens": 8,
        "fallback": "",
        "queue_ms": None,
        "first_token_ms": record["first_token_ms"],
        "duration_ms": record["duration_ms"],
    }
    assert (record["first_token_ms"] is not None) == stream
    assert 0 < (record["first_token_ms"] or record["duration_ms"]) <= record["duration_ms"] <= passed_ms


def test_the_records_fit_the_database(client: httpx.Client, cast: Cast) -> None:
    BaseModel.objects.update(prompt_price="1000", cached_price="100", completion_price="2000.5")
    client.post(CHAT, json=question())
    client.post(CHAT, json=question("never-was"))
    client.get("/v1/models")
    wait_until(lambda: len(usage_records()) == 3, what="three records arrive")
    usage_store()
    outcomes = {record.model: (record.outcome, record.status) for record in UsageRecord.objects.all()}
    # Of seven prompt tokens one was cached; eight were answered.
    assert UsageRecord.objects.aggregate(Sum("cost"))["cost__sum"] == Decimal("0.022104")
    assert outcomes == {"support-bot:1": ("finished", 200), "never-was": ("refused", 404), "": ("finished", 200)}


@pytest.mark.parametrize(
    ("body", "status", "model"),
    [(b"{", 400, ""), (orjson.dumps(question(n=99)), 400, ""), (orjson.dumps(question("no")), 404, "no")],
)
def test_a_refused_request_is_recorded(client: httpx.Client, cast: Cast, body: bytes, status: int, model: str) -> None:
    client.post(CHAT, content=body)
    record = one_usage_record()
    assert (record["outcome"], record["status"], record["model"]) == ("refused", status, model)
    assert record["department_id"] == cast.support.pk
    assert record["completion_tokens"] == 0


def test_who_has_no_key_is_on_nobodys_account(client: httpx.Client, cast: Cast) -> None:
    assert httpx.post(f"{client.base_url}{CHAT}", json=question()).status_code == 401
    client.post(CHAT, json=question())
    assert one_usage_record()["status"] == 200


def test_one_request_id_sent_twice_makes_two_records_that_both_can_be_found_by_it(client: httpx.Client) -> None:
    for _ in range(2):
        client.post(CHAT, json=question(), headers={"x-request-id": "mine-" + "0" * 59})
    ids = wait_until(lambda: [r["request_id"] for r in usage_records()][1:] and usage_records(), what="two")
    found = {record["request_id"] for record in ids}
    assert len(found) == 2
    assert all(request_id.startswith("mine-0000") and len(request_id) <= 64 for request_id in found)


def sample(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)


def spooled() -> list[dict[str, Any]]:
    """What lies on disk."""
    files = sorted((config().home / "spool").glob("usage-*.jsonl"))
    return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]


def test_while_redis_is_away_requests_are_answered_and_their_records_wait(
    other_redis: OtherRedis, cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start()
    client = serve().client(cast.secret)
    first = client.post(CHAT, json=question())
    assert first.status_code == 200
    wait_until(lambda: len(usage_records()) == 1, what="the first record arrives")
    other_redis.stop()
    sent = [client.post(CHAT, json=question(stream=number % 2 == 0)) for number in range(20)]
    assert {answer.status_code for answer in sent} == {200}
    other_redis.start()
    # The first one, too: this Redis has forgotten it, and nobody has stored it yet. What came after may be there twice.
    ids = {answer.headers["x-request-id"] for answer in (first, *sent)}
    wait_until(lambda: {record["request_id"] for record in usage_records()} == ids, what="all arrive")
    # The engine has not been entered again, as its agent would do; it is believed to live all the same.
    assert client.post(CHAT, json=question()).status_code == 200


def test_when_too_many_wait_they_go_to_disk_and_come_back(
    other_redis: OtherRedis, cast: Cast, engines: Engines, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.gateway.meter.MAX_WAITING", 5)
    engines.start()
    client = serve().client(cast.secret)
    other_redis.stop()
    sent = [client.post(CHAT, json=question()).headers["x-request-id"] for _ in range(12)]
    wait_until(spooled, what="records lie on disk")
    other_redis.start()
    wait_until(lambda: len(usage_records()) >= 12, what="all records arrive")
    assert sorted(record["request_id"] for record in usage_records()) == sorted(sent)
    wait_until(lambda: not spooled(), what="the disk is clean")


def test_a_gateway_that_ends_while_redis_is_away_leaves_its_records_to_the_next(
    other_redis: OtherRedis, cast: Cast, engines: Engines
) -> None:
    engines.start()
    with Served() as served:
        client = served.client(cast.secret)
        assert client.post(CHAT, json=question()).status_code == 200
        other_redis.stop()
        sent = [client.post(CHAT, json=question()).headers["x-request-id"] for _ in range(3)]
    assert {record["request_id"] for record in spooled()} >= set(sent)
    other_redis.start()
    with Served():
        wait_until(lambda: len(usage_records()) >= 3, what="the next gateway brings them")
    assert {record["request_id"] for record in usage_records()} >= set(sent)
    assert spooled() == []


def test_a_gateway_that_ends_takes_its_last_records_to_redis(cast: Cast, engines: Engines) -> None:
    engines.start()
    with Served() as served:
        client = served.client(cast.secret)
        for _ in range(5):
            client.post(CHAT, json=question())
    assert len(usage_records()) == 5
    assert spooled() == []


def test_a_gateway_without_lifespan_takes_its_last_records_to_redis_too(cast: Cast, engines: Engines) -> None:
    engines.start()
    with Served(lifespan="off") as served:
        assert served.client(cast.secret).post(CHAT, json=question()).status_code == 200
    assert len(usage_records()) == 1


async def test_a_request_that_is_cut_off_after_the_gateway_has_ended_is_recorded_on_disk(cast: Cast) -> None:
    gateway = Gateway()
    lifespan: asyncio.Queue[str] = asyncio.Queue()

    async def next_phase() -> dict[str, Any]:
        return {"type": await lifespan.get()}

    async def ignore(message: Any) -> None:
        pass

    async def body_that_never_comes() -> dict[str, Any]:
        waiting.set()
        await asyncio.Event().wait()
        return {}

    waiting = asyncio.Event()
    life = asyncio.create_task(gateway({"type": "lifespan"}, next_phase, ignore))
    await lifespan.put("lifespan.startup")
    headers = [(b"x-api-key", cast.secret.encode())]
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers}
    request = asyncio.create_task(gateway(scope, body_that_never_comes, ignore))
    async with asyncio.timeout(60):
        await waiting.wait()
        await lifespan.put("lifespan.shutdown")
        await life
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert [(record["outcome"], record["status"]) for record in spooled()] == [("aborted", 499)]


def test_of_two_processes_only_one_takes_up_a_file(tmp_path: Path) -> None:
    Spool(tmp_path).write([b"1", b"2"])
    with Spool(tmp_path).claim() as first, Spool(tmp_path).claim() as second:
        assert first == [b"1", b"2"]
        assert second is None
    with Spool(tmp_path).claim() as third:
        assert third is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_taking_up_failed_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write([b"1"])
    with contextlib.suppress(OSError), spool.claim():
        raise OSError("Redis went away.")
    with spool.claim() as records:
        assert records == [b"1"]


def test_what_a_redis_without_memory_forgot_before_it_was_stored_is_appended_again_and_only_that(
    other_redis: OtherRedis, cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start()
    client = serve().client(cast.secret)
    stored = client.post(CHAT, json=question()).headers["x-request-id"]
    wait_until(usage_records, what="the first record arrives")
    usage_store()
    # Until the gateway has noticed: it looks every 2 s.
    wait_until(lambda: sample("polygraft_usage_records_unconfirmed") == 0, what="the first one is confirmed")
    forgotten = [client.post(CHAT, json=question()).headers["x-request-id"] for _ in range(3)]
    wait_until(lambda: len(usage_records()) == 3, what="three more arrive")
    other_redis.kill()
    other_redis.start()
    wait_until(lambda: len(usage_records()) >= 3, what="they are there again")
    usage_store()
    assert sorted(record.request_id for record in UsageRecord.objects.all()) == sorted([stored, *forgotten])


def test_what_is_not_in_the_database_yet_outlives_a_gateway_that_is_killed(
    cast: Cast, engines: Engines, serve: Serve, tmp_path: Path
) -> None:
    def left_behind() -> list[bytes]:
        """What another process would find, were this one killed now."""
        copy = Path(tempfile.mkdtemp(dir=tmp_path)) / "spool"
        shutil.copytree(config().home / "spool", copy)
        with Journal(copy).claim_orphan() as records:
            return records or []

    engines.start()
    name = serve().client(cast.secret).post(CHAT, json=question()).headers["x-request-id"]
    wait_until(usage_records, what="Redis has the record")
    assert [orjson.loads(record)["request_id"] for record in left_behind()] == [name]
    usage_store()
    wait_until(lambda: not left_behind(), what="it is confirmed")


def test_the_stream_has_the_name_that_the_consumer_reads() -> None:
    assert usage.STREAM == STREAM
