"""Engines that fail in every way they can, clients that leave, and what the other side is told."""

import time
from collections.abc import Callable

import httpx
import orjson
import pytest
from django.db import OperationalError

from cast import Cast
from deadline import quickest, wait_until
from fake_engine import FakeEngine, Fault
from polygraft.conf import config
from polygraft.live import CHANNEL, redis_client

from .served import ADAPTER_NAMES, CHAT, Engines, Served, one_usage_record, question, send_raw, usage_records

Serve = Callable[..., Served]
LONG_WORD = "x" * 4000


def last_event(stream: str) -> dict[str, object]:
    """The last event of a stream, which an error must be."""
    event: dict[str, object] = orjson.loads(stream.strip().split("\n\n")[-1].removeprefix("data: "))
    return event


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.REFUSE, "unreachable"),
        (Fault.ERROR_503, "overloaded"),
        (Fault.NOT_FOUND, "not_loaded"),
        (Fault.DROP, "broken_off"),
        (Fault.ERROR_500, "failed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_before_the_first_byte_another_engine_takes_over(
    cast: Cast, engines: Engines, serve: Serve, fault: Fault, reason: str, stream: bool
) -> None:
    engines.start(fault, kind="llamacpp")  # where the department is at home, so asked first
    engines.start(kind="vllm")
    answer = serve().client(cast.secret).post(CHAT, json=question(stream=stream))
    assert answer.status_code == 200
    assert "parcel" in answer.text
    assert answer.headers["x-polygraft-engine"] == "vllm"
    assert answer.headers["x-polygraft-fallback"] == reason
    assert one_usage_record()["fallback"] == reason


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.REFUSE, 503, "engine_overloaded"),
        (Fault.ERROR_503, 503, "engine_overloaded"),
        (Fault.NOT_FOUND, 503, "model_not_ready"),
        (Fault.DROP, 502, "engine_failed"),
        (Fault.ERROR_500, 502, "engine_failed"),
        (Fault.GARBAGE, 502, "engine_failed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_when_no_engine_can_answer_the_caller_is_told_without_internals(
    cast: Cast, engines: Engines, serve: Serve, fault: Fault, status: int, code: str, stream: bool
) -> None:
    for _ in range(2):
        engines.start(fault)
    answer = serve().client(cast.secret).post(CHAT, json=question(stream=stream))
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert (status == 503) == ("retry-after" in answer.headers)
    assert "lora-" not in answer.text
    assert "EngineCore" not in answer.text
    record = one_usage_record()
    assert (record["outcome"], record["status"]) == ("failed", status)


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.ERROR_500])
def test_a_request_that_brings_engines_down_does_not_meet_all_of_them(
    cast: Cast, engines: Engines, serve: Serve, fault: Fault
) -> None:
    dropping = [engines.start(fault) for _ in range(3)]
    assert serve().client(cast.secret).post(CHAT, json=question()).status_code == 502
    assert sum(engine.stats()["requests"] for engine in dropping) == 2


@pytest.mark.parametrize("fault", [Fault.MID_STREAM, Fault.ERROR_EVENT, Fault.CUT_SHORT])
def test_a_stream_that_the_engine_breaks_ends_with_an_error_event(
    cast: Cast, engines: Engines, serve: Serve, fault: Fault
) -> None:
    engines.start(fault)
    answer = serve().client(cast.secret).post(CHAT, json=question(stream=True))
    assert answer.status_code == 200
    assert "where " in answer.text
    assert last_event(answer.text)["error"]["code"] == "engine_failed"  # type: ignore[index]  # it is an object
    assert "[DONE]" not in answer.text
    assert "EngineCore" not in answer.text
    record = one_usage_record()
    assert (record["outcome"], record["status"]) == ("failed", 200)
    assert record["completion_tokens"] > 0


def test_an_engine_killed_in_mid_stream_is_told_to_the_client(cast: Cast, engines: Engines, serve: Serve) -> None:
    engine = engines.start(tokens=1000, tps=100)
    client = serve().client(cast.secret)
    with client.stream("POST", CHAT, json=question(stream=True)) as answer:
        lines = answer.iter_lines()
        for _ in range(5):
            next(lines)
        engine.kill()
        rest = "\n".join(lines)
    assert last_event(rest)["error"]["code"] == "engine_failed"  # type: ignore[index]  # it is an object
    assert "[DONE]" not in rest


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways that give engines little time, though enough for a first word on a busy machine."""
    monkeypatch.setattr(config(), "upstream_first_byte_timeout", 2.0)
    monkeypatch.setattr(config(), "upstream_idle_timeout", 2.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_hangs_is_given_up(cast: Cast, engines: Engines, serve: Serve, stream: bool) -> None:
    engine = engines.start(Fault.HANG)
    answer = serve().client(cast.secret).post(CHAT, json=question(stream=stream))
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "engine_timeout"
    wait_until(lambda: engine.stats()["aborted"] == 1, what="the engine is let go")


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_stalls_ends_with_an_error_event(cast: Cast, engines: Engines, serve: Serve) -> None:
    engine = engines.start(Fault.STALL)
    answer = serve().client(cast.secret).post(CHAT, json=question(stream=True))
    assert answer.status_code == 200
    assert last_event(answer.text)["error"]["code"] == "engine_timeout"  # type: ignore[index]  # it is an object
    assert "[DONE]" not in answer.text
    wait_until(lambda: engine.stats()["aborted"] == 1, what="the engine is let go")


def test_without_an_engine_the_answer_says_when_to_ask_again(cast: Cast, serve: Serve) -> None:
    answer = serve().client(cast.secret).post(CHAT, json=question())
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_engine"
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize("state", ["starting", "draining", "failed"])
def test_only_ready_engines_are_asked(cast: Cast, engines: Engines, serve: Serve, state: str) -> None:
    engines.start(state=state)
    assert serve().client(cast.secret).post(CHAT, json=question()).json()["error"]["code"] == "no_engine"


def test_an_adapter_that_no_engine_has_loaded_is_not_ready_and_its_base_never_answers_instead(
    cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start(resident=ADAPTER_NAMES[1:])
    client = serve().client(cast.secret)
    answer = client.post(CHAT, json=question("support-bot"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
    assert client.post(CHAT, json=question("support-bot:2")).status_code == 200
    assert client.post(CHAT, json=question("smollm2")).status_code == 200


def test_engines_that_come_and_go_are_noticed_within_a_second(cast: Cast, engines: Engines, serve: Serve) -> None:
    client = serve().client(cast.secret)
    with FakeEngine(models=["smollm2"], secret="engine-secret") as engine:

        def status() -> int:
            return client.post(CHAT, json=question("smollm2")).status_code

        assert status() == 503
        engine_id = engines.publish(engine.address, kind="llamacpp", state="ready", resident=[])
        wait_until(lambda: status() == 200, seconds=1, what="the engine is used")
        engines.withdraw(engine_id)
        wait_until(lambda: status() == 503, seconds=1, what="the engine is not used any more")


def test_a_connection_that_an_engine_closes_while_idle_is_no_trouble(
    cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start(keep_alive=0.01)
    client = serve().client(cast.secret)
    for _ in range(30):
        assert client.post(CHAT, json=question()).status_code == 200
        time.sleep(0.01)  # as long as the engine keeps an idle connection: a race each time


@pytest.mark.parametrize(
    ("stream", "options"),
    [
        (True, {"tokens": 100_000, "tps": 200}),  # the client has heard something
        (True, {"ttft": 60}),  # it has heard that an answer begins
        (False, {"ttft": 60}),
    ],
)
def test_when_the_client_leaves_the_engine_stops_within_100_ms(
    cast: Cast, engines: Engines, serve: Serve, stream: bool, options: dict[str, float]
) -> None:
    engine = engines.start(**options)
    gateway = serve()
    asked = 0

    def until_it_stops() -> float:
        nonlocal asked
        asked += 1
        connection = send_raw(gateway, cast.secret, orjson.dumps(question(stream=stream)))
        wait_until(lambda: engine.stats()["requests"] == asked, what="the engine works")
        if "tps" in options:
            connection.recv(100)
        connection.close()
        left = time.monotonic()
        while engine.stats()["aborted"] < asked:
            assert time.monotonic() - left < 30
        return time.monotonic() - left

    assert quickest(until_it_stops, enough=0.1) < 0.1
    for record in wait_until(lambda: len(found := usage_records()) == asked and found, what="all are recorded"):
        assert record["outcome"] == "aborted"
        assert record["status"] == (200 if stream else 499)
        assert record["completion_tokens"] >= ("tps" in options)


def test_a_client_that_leaves_within_its_body_is_on_the_account_too(cast: Cast, engines: Engines, serve: Serve) -> None:
    engine = engines.start()
    send_raw(serve(), cast.secret, b'{"model": ', length=100).close()
    record = one_usage_record()
    assert (record["outcome"], record["status"]) == ("aborted", 499)
    assert engine.stats()["requests"] == 0


def test_a_client_that_does_not_read_holds_the_engine_back_and_still_gets_everything(
    cast: Cast, engines: Engines, serve: Serve
) -> None:
    engine = engines.start(tokens=20_000)
    connection = send_raw(serve(), cast.secret, orjson.dumps(question(text=LONG_WORD, stream=True)))
    wait_until(lambda: engine.stats()["requests"] == 1, what="the engine works")
    # 20,000 such words are 80 MB: far more than all buffers on the way together.
    time.sleep(0.5)
    assert engine.stats()["completed"] == 0
    received = bytearray()
    while not received.endswith(b"0\r\n\r\n"):
        received += connection.recv(1_000_000)
    connection.close()
    assert received.count(b'"content":"') == 20_001
    assert b"data: [DONE]" in received
    assert one_usage_record()["completion_tokens"] == 20_000


@pytest.mark.usefixtures("impatient")
def test_a_client_that_never_reads_does_not_keep_its_engine(cast: Cast, engines: Engines, serve: Serve) -> None:
    engine = engines.start(tokens=20_000)
    with send_raw(serve(), cast.secret, orjson.dumps(question(text=LONG_WORD, stream=True))) as connection:
        wait_until(lambda: engine.stats()["aborted"] == 1, what="the engine is let go")
        # When it reads again after all, its stream is cut off; it is not told that the engine failed.
        received = bytearray()
        while piece := connection.recv(1_000_000):
            received += piece
    assert not received.endswith(b"0\r\n\r\n")
    assert b'"error"' not in received
    assert one_usage_record()["outcome"] == "aborted"


def test_while_the_database_is_away_the_cache_serves_and_the_rest_is_told_when_to_ask_again(
    client: httpx.Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("No route to host.")

    wait_until(lambda: redis_client().pubsub_numsub(CHANNEL)[0][1] >= 1, what="announcements arrive")
    assert client.post(CHAT, json=question()).status_code == 200
    monkeypatch.setattr("serving.gateway.auth.grant_resolve", away)
    monkeypatch.setattr("serving.gateway.catalogue._read_shelf", away)
    assert client.post(CHAT, json=question()).status_code == 200
    answer = client.post(CHAT, json=question(), headers={"authorization": f"Bearer {cast.legal_secret}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"] == "2"


def test_a_defect_of_the_gateway_is_an_error_in_openais_shape(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("serving.gateway.dispatch.engines_for", broken)
    answer = client.post(CHAT, json=question())
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret detail" not in answer.text
