"""What is said about requests elsewhere: the access log and the metrics."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from cast import Cast
from deadline import wait_until
from polygraft.conf import config
from polygraft.logs import logging_config

from .served import CHAT, Engines, Served, question

Serve = Callable[..., Served]
SECRETS = "the parcel is behind the door"


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_access_log_has_one_line_per_request_and_none_of_its_content(
    cast: Cast,
    engines: Engines,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    style: str,
    stream: bool,
) -> None:
    monkeypatch.setattr(config(), "log_format", style)
    engines.start()
    with Served() as served:
        client = served.client(cast.secret)
        ids = [
            client.post(CHAT, json=question(text=SECRETS, stream=stream)).headers["x-request-id"],
            client.post(CHAT, json=question("never-was", text=SECRETS)).headers["x-request-id"],
            served.client(None).post(CHAT, json=question(text=SECRETS)).headers["x-request-id"],
            client.get("/v1/evil\x0apath with=tricks".replace("\x0a", "%0a")).headers["x-request-id"],
        ]
    log = capsys.readouterr().err
    assert all(len([line for line in log.splitlines() if request_id in line]) == 1 for request_id in ids)
    assert "parcel" not in log
    assert cast.secret not in log
    if style == "json":
        lines = {line["request_id"]: line for line in access_lines(log)}
        assert len(lines) == 4
        assert lines[ids[0]]["department"] == "support"
        assert lines[ids[0]]["model"] == "support-bot:1"
        assert lines[ids[0]]["completion_tokens"] == 8
        assert (lines[ids[1]]["outcome"], lines[ids[1]]["status"]) == ("refused", 404)
        assert (lines[ids[2]]["department"], lines[ids[2]]["status"]) == (None, 401)


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_defect_leaves_a_traceback_in_the_log_and_nothing_of_the_content(
    cast: Cast, engines: Engines, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], style: str
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    logging_config(style, "INFO")  # type: ignore[arg-type]  # a literal
    monkeypatch.setattr("serving.gateway.body._stream", broken)
    engines.start()
    with Served() as served:
        assert served.client(cast.secret).post(CHAT, json=question(text=SECRETS)).status_code == 500
    logging_config(config().log_format, config().log_level)
    log = capsys.readouterr().err
    assert "ZeroDivisionError" in log
    assert "parcel" not in log
    assert cast.secret not in log


def access_lines(log: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "request"]


def test_a_higher_log_level_silences_the_access_log(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(config(), "log_level", "WARNING")
    with Served() as served:
        request_id = served.client(cast.secret).get("/v1/models").headers["x-request-id"]
    assert request_id not in capsys.readouterr().err


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_requests_tokens_and_durations_are_counted_by_department_model_and_engine(client: httpx.Client) -> None:
    finished = {"department": "support", "model": "support-bot:1", "engine": "llamacpp", "outcome": "finished"}
    tokens = {"department": "support", "model": "support-bot:1"}
    where = {"department": "support", "engine": "llamacpp"}
    took = {"department": "support", "model": "support-bot:1", "engine": "llamacpp"}
    seconds = sample("polygraft_request_seconds_total", **took)
    in_all = sample("polygraft_request_duration_seconds_sum", **where)

    def samples() -> list[float]:
        return [
            sample("polygraft_requests_total", **finished, status="200"),
            sample("polygraft_tokens_total", **tokens, kind="prompt"),
            sample("polygraft_tokens_total", **tokens, kind="completion"),
            sample("polygraft_request_duration_seconds_count", **where),
            sample("polygraft_time_to_first_token_seconds_count", **where),
            sample("polygraft_time_per_output_token_seconds_count", **where),
        ]

    before = samples()
    client.post(CHAT, json=question())
    client.post(CHAT, json=question(stream=True))

    def counted() -> list[float]:
        return [after - earlier for after, earlier in zip(samples(), before, strict=True)]

    wait_until(lambda: sum(counted()) >= sum([2, 14, 16, 2, 1, 1]), what="both are counted")
    assert counted() == [2, 14, 16, 2, 1, 1]
    same = sample("polygraft_request_duration_seconds_sum", **where) - in_all
    assert sample("polygraft_request_seconds_total", **took) - seconds == pytest.approx(same)
    assert same > 0


def test_the_gaps_in_a_stream_are_counted_one_by_one(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start(tps=20)
    client = serve().client(cast.secret)
    where = {"department": "support", "engine": "llamacpp"}
    name = "polygraft_inter_token_seconds"

    def samples() -> list[float]:
        return [sample(f"{name}_{kind}", **where) for kind in ("count", "sum")]

    before = samples()
    client.post(CHAT, json=question(stream=True))
    wait_until(lambda: samples()[0] > before[0], what="they are counted")
    count, seconds = (after - earlier for after, earlier in zip(samples(), before, strict=True))
    # Eight words, a twentieth of a second from each to the next; some come together where the machine halts.
    assert 4 <= count <= 8
    assert seconds >= 0.3
    assert sum(_buckets(name, where)) == samples()[0]


def _buckets(name: str, where: dict[str, str]) -> list[float]:
    """The counts of a histogram's buckets, each without those below."""
    found = [
        one.value
        for family in REGISTRY.collect()
        for one in family.samples
        if one.name == f"{name}_bucket" and where.items() <= one.labels.items()
    ]
    return [count - below for count, below in zip(found, [0.0, *found[:-1]], strict=True)]


def test_what_callers_write_never_becomes_a_label(client: httpx.Client) -> None:
    client.post(CHAT, json=question("made-up-by-a-caller"))
    client.get("/v1/made-up-by-a-caller")
    refused = {"department": "support", "model": "", "engine": "", "outcome": "refused", "status": "404"}
    before = sample("polygraft_requests_total", **refused)
    client.get("/v1/models/made-up-by-a-caller")
    wait_until(lambda: sample("polygraft_requests_total", **refused) > before, what="it is counted")
    labels = [value for metric in REGISTRY.collect() for s in metric.samples for value in s.labels.values()]
    assert "made-up-by-a-caller" not in " ".join(labels)
    assert "support" in labels


def test_no_request_stays_in_flight(client: httpx.Client) -> None:
    client.post(CHAT, json=question())
    client.post(CHAT, json=question(stream=True))
    client.post(CHAT, json=question("never-was"))
    wait_until(lambda: sample("polygraft_requests_in_flight") == 0, what="nothing is in flight")
