"""Requests that are answered: whole and as streams, in the caller's own terms."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from cast import Cast
from deadline import wait_until
from fake_engine import Fault
from serving.gateway.auth import engine_cache_salt
from serving.rollouts import rollout_set

from .served import CHAT, Engines, Served, question

COMPLETIONS = "/v1/completions"
Serve = Callable[..., Served]


def official(client: httpx.Client, secret: str) -> openai.OpenAI:
    """The official client of the same gateway."""
    return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=secret, max_retries=0, http_client=client)


def text_of(stream: str) -> str:
    """The text of a stream of chat events."""
    return "".join(re.findall(r'"content":"([^"]*)"', stream))


def test_a_whole_answer_names_the_model_as_the_caller_did(client: httpx.Client, cast: Cast) -> None:
    answer = official(client, cast.secret).chat.completions.create(**question(text="hello there"))
    assert answer.model == "support-bot"
    assert answer.choices[0].message.content == "hello there " * 4
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_a_stream_says_the_same_as_a_whole_answer(client: httpx.Client, cast: Cast) -> None:
    chunks = list(official(client, cast.secret).chat.completions.create(**question(text="hello there"), stream=True))
    assert {chunk.model for chunk in chunks} == {"support-bot"}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello there " * 4
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_shows_usage_to_who_asks(client: httpx.Client, cast: Cast) -> None:
    stream = official(client, cast.secret).chat.completions.create(
        **question(), stream=True, stream_options={"include_usage": True}
    )
    last = list(stream)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 8


@pytest.mark.parametrize(
    ("asked", "resolved"),
    [("support-bot", "support-bot:1"), ("support-bot:2", "support-bot:2"), ("smollm2", "smollm2")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_headers_say_what_answered(client: httpx.Client, asked: str, resolved: str, stream: bool) -> None:
    answer = client.post(CHAT, json=question(asked, stream=stream))
    assert answer.status_code == 200
    assert answer.headers["x-polygraft-model"] == resolved
    assert answer.headers["x-polygraft-engine"] == "llamacpp"
    assert f'"model":"{asked}"' in answer.text
    assert "lora-" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_text_completions_are_answered(client: httpx.Client, stream: bool) -> None:
    answer = client.post(COMPLETIONS, json={"model": "support-bot", "prompt": "once upon", "stream": stream})
    assert answer.status_code == 200
    assert "".join(re.findall(r'"text":"([^"]*)"', answer.text)) == "once upon " * 4


def test_the_callers_request_id_comes_back(client: httpx.Client) -> None:
    answer = client.get("/v1/models", headers={"x-request-id": "mine-0123456789"})
    assert answer.headers["x-request-id"] == "mine-0123456789"


@pytest.mark.parametrize("given", ["short", "x" * 65, "with blank in it", "umlaut-\xe4\xf6\xfc-0000"])
def test_an_odd_request_id_is_replaced(client: httpx.Client, given: str) -> None:
    answer = client.get("/v1/models", headers={"x-request-id": given.encode("latin-1")})  # type: ignore[dict-item]
    assert re.fullmatch(r"[0-9a-f]{24}", answer.headers["x-request-id"])


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_in_pieces_of_a_few_bytes_is_put_together(
    cast: Cast, engines: Engines, serve: Serve, stream: bool
) -> None:
    engines.start(Fault.SLOW)
    answer = serve().client(cast.secret).post(CHAT, json=question(stream=stream))
    assert text_of(answer.text) == "where is my parcel " * 2
    assert "lora-" not in answer.text
    assert "usage" not in answer.text or not stream
    if stream:
        assert answer.text.endswith("data: [DONE]\n\n")


def test_the_engine_gets_the_departments_salt_and_none_of_the_callers_privileges(
    cast: Cast, engines: Engines, serve: Serve
) -> None:
    engine = engines.start()
    wish = question(cache_salt="mine", priority=-100, kv_transfer_params={"a": 1}, request_id="x", temperature=0)
    assert serve().client(cast.secret).post(CHAT, json=wish).status_code == 200
    stats = engine.stats()
    assert stats["last_body"] == {
        "model": stats["models"][0],
        "messages": wish["messages"],
        "temperature": 0,
        "cache_salt": engine_cache_salt(cast.support.cache_salt),
    }
    assert cast.secret not in str(stats["last_headers"])


def test_departments_have_different_salts_and_none_is_the_stored_secret(cast: Cast) -> None:
    salts = {engine_cache_salt(department.cache_salt) for department in (cast.support, cast.legal)}
    assert len(salts) == 2
    assert not salts & {cast.support.cache_salt, cast.legal.cache_salt}


def test_harmless_template_switches_reach_the_engine(cast: Cast, engines: Engines, serve: Serve) -> None:
    engine = engines.start()
    wish = question(chat_template_kwargs={"enable_thinking": False})
    assert serve().client(cast.secret).post(CHAT, json=wish).status_code == 200
    assert engine.stats()["last_body"]["chat_template_kwargs"] == {"enable_thinking": False}


def test_many_callers_at_once_each_hear_their_own_answer(client: httpx.Client) -> None:
    def ask(number: int) -> tuple[str, str]:
        answer = client.post(CHAT, json=question(text=f"number-{number}", stream=number % 2 == 0))
        return f"number-{number} " * 8, text_of(answer.text)

    with ThreadPoolExecutor(16) as threads:
        for expected, heard in threads.map(ask, range(64)):
            assert heard == expected


def test_the_list_of_models_is_the_departments_own(client: httpx.Client) -> None:
    listed = {model["id"]: model["owned_by"] for model in client.get("/v1/models").json()["data"]}
    assert listed == {"support-bot": "support", "smollm2": "polygraft"}


def test_the_list_of_models_hides_other_departments(cast: Cast, serve: Serve) -> None:
    answer = serve().client(cast.legal_secret).get("/v1/models").json()
    assert [model["id"] for model in answer["data"]] == ["smollm2"]
    assert answer["object"] == "list"


@pytest.mark.parametrize("name", ["support-bot", "support-bot:2", "smollm2"])
def test_one_model_is_shown_by_its_name(client: httpx.Client, name: str) -> None:
    model = client.get(f"/v1/models/{name}").json()
    assert model["id"] == name
    assert model["object"] == "model"


def versions_heard(client: httpx.Client, count: int, **fields: Any) -> list[str]:
    return [client.post(CHAT, json=question(**fields)).headers["x-polygraft-model"] for _ in range(count)]


def test_a_canary_gets_about_its_share(client: httpx.Client, cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 75, 2: 25}, by=None)
    heard = [versions_heard(client, 1, text=f"question {number}")[0] for number in range(200)]
    # Of 200 at 25 %, fewer than 20 or more than 85 come up less than once in ten million runs.
    assert 20 <= heard.count("support-bot:2") <= 85
    assert set(heard) == {"support-bot:1", "support-bot:2"}


def later(model: str, first: str) -> list[tuple[str, dict[str, Any]]]:
    """Two requests of one conversation for each endpoint: its beginning, and its going on."""
    answered = [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "And now?"}]
    begun = [{"role": "user", "content": first}]
    system = [{"role": "system", "content": "Be kind."}]
    message = {"model": model, "system": "Be kind.", "max_tokens": 8}
    response = {"model": model, "instructions": "Be kind."}
    return [
        (CHAT, {"model": model, "messages": [*system, *begun]}),
        (CHAT, {"model": model, "messages": [*system, *begun, *answered]}),
        ("/v1/messages", {**message, "messages": begun}),
        ("/v1/messages", {**message, "messages": [*begun, *answered]}),
        ("/v1/responses", {**response, "input": first}),
        ("/v1/responses", {**response, "input": [*begun, *answered]}),
        (COMPLETIONS, {"model": model, "prompt": f"Be kind. {first}".ljust(512)}),
        (COMPLETIONS, {"model": model, "prompt": f"Be kind. {first}".ljust(512) + "and on and on"}),
    ]


def test_a_canary_keeps_to_one_version_for_one_conversation_at_every_endpoint(client: httpx.Client, cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 50, 2: 50}, by=None)
    heard: dict[str, set[str]] = {}
    for number in range(20):
        versions = []
        for path, body in later("support-bot", f"question {number}"):
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            versions.append(answer.headers["x-polygraft-model"])
            heard.setdefault(path, set()).add(versions[-1])
        assert versions[0::2] == versions[1::2]
    assert all(both == {"support-bot:1", "support-bot:2"} for both in heard.values())


def test_a_canary_keeps_to_one_version_for_the_callers_own_word_for_a_session(client: httpx.Client, cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 50, 2: 50}, by=None)
    heard = set()
    for session in range(20):
        client.headers["x-polygraft-session"] = f"session-{session}"
        versions = {versions_heard(client, 1, text=f"question {number}")[0] for number in range(4)}
        assert len(versions) == 1
        heard |= versions
    assert heard == {"support-bot:1", "support-bot:2"}


def test_raising_a_canarys_share_moves_conversations_to_it_only(client: httpx.Client, cast: Cast) -> None:
    def heard() -> list[str]:
        return [versions_heard(client, 1, text=f"question {number}")[0] for number in range(60)]

    rollout_set(adapter=cast.adapter, weights={1: 80, 2: 20}, by=None)
    before = heard()
    rollout_set(adapter=cast.adapter, weights={2: 60, 1: 40}, by=None)
    after = wait_until(lambda: found if (found := heard()) != before else None, what="shares change")
    assert {(old, new) for old, new in zip(before, after, strict=True) if old != new} == {
        ("support-bot:1", "support-bot:2")
    }


def test_a_pinned_version_follows_no_rollout(client: httpx.Client, cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    assert versions_heard(client, 3, model="support-bot:1") == ["support-bot:1"] * 3


def test_a_rollout_takes_effect_within_a_second(client: httpx.Client, cast: Cast) -> None:
    assert versions_heard(client, 1) == ["support-bot:1"]
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    wait_until(lambda: versions_heard(client, 1) == ["support-bot:2"], seconds=1, what="version 2 answers")


def test_it_works_on_a_server_that_sends_no_lifespan(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start()
    assert serve(lifespan="off").client(cast.secret).post(CHAT, json=question()).status_code == 200
