"""Thumbs for answers: who may give them, for what, and what is said of all else."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cast import Cast
from deadline import wait_until
from serving.accounting.usage import usage_store
from serving.models import Feedback

from .served import CHAT, Engines, Served, question

PATH = "/v1/feedback"


@pytest.fixture
def answered(client: httpx.Client) -> str:
    """The id of a request that was answered and is on record."""
    request_id = client.post(CHAT, json=question()).headers["x-request-id"]
    wait_until(usage_store, what="the record is stored")
    return request_id


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever rates a request that is not on record is told so at once."""
    monkeypatch.setattr("serving.gateway.feedback._RECORD_SECONDS", 0.0)


@pytest.mark.parametrize(("rating", "kept"), [("up", 1), ("down", -1), (1, 1), (-1, -1)])
def test_an_answer_is_rated(client: httpx.Client, cast: Cast, answered: str, rating: object, kept: int) -> None:
    answer = client.post(PATH, json={"request_id": answered, "rating": rating, "comment": "as it should be"})
    assert answer.status_code == 200
    assert answer.json()["rating"] == ("up" if kept == 1 else "down")
    feedback = Feedback.objects.get()
    assert (feedback.rating, feedback.comment, feedback.department) == (kept, "as it should be", cast.support)
    assert feedback.adapter_version == cast.adapter.versions.get(number=1)
    assert feedback.key == cast.key


def test_the_last_word_counts(client: httpx.Client, answered: str) -> None:
    client.post(PATH, json={"request_id": answered, "rating": "up", "comment": "good"})
    client.post(PATH, json={"request_id": answered, "rating": "down"})
    feedback = Feedback.objects.get()
    assert (feedback.rating, feedback.comment) == (-1, "")


def test_an_answer_is_rated_before_it_is_on_record(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.gateway.feedback._RECORD_SECONDS", 25.0)
    request_id = client.post(CHAT, json=question()).headers["x-request-id"]
    timer = threading.Timer(0.6, lambda: wait_until(usage_store, what="the record is stored"))
    timer.start()
    assert client.post(PATH, json={"request_id": request_id, "rating": "up"}).status_code == 200
    timer.join()


def test_a_request_is_known_by_the_id_that_its_caller_gave_it(client: httpx.Client, cast: Cast) -> None:
    for given in ("ticket-4711", "x" * 64):
        answer = client.post(CHAT, json=question(), headers={"x-request-id": given})
        assert answer.headers["x-request-id"] == given
        wait_until(usage_store, what="the record is stored")
        assert client.post(PATH, json={"request_id": given, "rating": "up"}).status_code == 200
    assert Feedback.objects.count() == 2


def test_foreign_requests_are_not_found_in_the_words_for_those_that_never_were(
    client: httpx.Client, cast: Cast, answered: str, hasty: None
) -> None:
    stranger = {"authorization": f"Bearer {cast.legal_secret}"}
    words = []
    for request_id in (answered, "0123456789abcdef01234567"):
        refusal = client.post(PATH, json={"request_id": request_id, "rating": "up"}, headers=stranger)
        assert refusal.status_code == 404
        assert refusal.json()["error"]["code"] == "request_not_found"
        words.append(refusal.text.replace(request_id, "…"))
    assert words[0] == words[1]
    assert not Feedback.objects.exists()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"rating": "up"}, "request_id"),
        ({"request_id": "", "rating": "up"}, "request_id"),
        ({"request_id": "a" * 65, "rating": "up"}, "request_id"),
        ({"request_id": "a\0b", "rating": "up"}, "request_id"),
        ({"request_id": 7, "rating": "up"}, "request_id"),
        ({"request_id": "abc"}, "rating"),
        ({"request_id": "abc", "rating": "fine"}, "rating"),
        ({"request_id": "abc", "rating": True}, "rating"),
        ({"request_id": "abc", "rating": 1.0}, "rating"),
        ({"request_id": "abc", "rating": []}, "rating"),
        ({"request_id": "abc", "rating": "up", "comment": "x" * 2001}, "comment"),
        ({"request_id": "abc", "rating": "up", "comment": 5}, "comment"),
    ],
)
def test_what_is_no_feedback_is_refused_by_its_field(client: httpx.Client, body: dict[str, Any], param: str) -> None:
    refusal = client.post(PATH, json=body)
    assert refusal.status_code == 400
    assert refusal.json()["error"]["param"] == param


def test_feedback_is_short(client: httpx.Client) -> None:
    refusal = client.post(PATH, content=b'{"comment": "' + b"x" * 20_000 + b'"}')
    assert refusal.status_code == 413


@pytest.mark.parametrize("body", [b"{", b"[]", b'"up"', b""])
def test_what_is_no_object_is_refused(client: httpx.Client, body: bytes) -> None:
    assert client.post(PATH, content=body).json()["error"]["code"] == "invalid_body"


def test_feedback_takes_a_key(cast: Cast, engines: Engines, serve: Callable[..., Served]) -> None:
    stranger = serve().client(None)
    assert stranger.post(PATH, json={"request_id": "abc", "rating": "up"}).status_code == 401
    assert serve().client(cast.secret).get(PATH).status_code == 405
