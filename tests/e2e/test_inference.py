"""Departments' programs call their adapters with the official client."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from deadline import quickest, wait_until
from long_stream import LongStream
from running_platform import Platform

pytestmark = pytest.mark.e2e

QUESTION = "How do I reset my password?"
# What no other voice says; demo/train_adapters.py teaches it.
SUPPORT_VOICE = "Thanks for reaching out"
LEGAL_VOICE = "Pursuant to your inquiry"


def ask(client: openai.OpenAI, model: str, **options: Any) -> Any:
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=60, **options
    )


def stream_text(client: openai.OpenAI, model: str, **options: Any) -> str:
    chunks = ask(client, model, stream=True, **options)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize(
    ("department", "model", "voice"),
    [("support", "support-bot", SUPPORT_VOICE), ("legal", "contracts", LEGAL_VOICE)],
)
def test_a_department_hears_its_own_adapter(platform: Platform, department: str, model: str, voice: str) -> None:
    client = platform.client(platform.key(department))
    whole = ask(client, model)
    assert voice in whole.choices[0].message.content
    assert stream_text(client, model) == whole.choices[0].message.content
    assert whole.model == model
    assert whole.usage.prompt_tokens > 0
    assert whole.usage.completion_tokens > 0


def test_the_answer_says_what_answered(platform: Platform) -> None:
    client = platform.client(platform.key("support"))
    raw = client.chat.completions.with_raw_response.create(
        model="support-bot", messages=[{"role": "user", "content": QUESTION}], max_tokens=5
    )
    assert raw.headers["x-polygraft-engine"] == "llamacpp"
    assert raw.headers["x-polygraft-model"] == "support-bot:1"
    assert raw.headers["x-request-id"]
    assert "lora-" not in raw.text


def test_a_version_can_be_pinned(platform: Platform) -> None:
    client = platform.client(platform.key("support"))
    assert SUPPORT_VOICE in ask(client, "support-bot:1").choices[0].message.content
    with pytest.raises(openai.NotFoundError):
        ask(client, "support-bot:99")


def test_the_base_model_answers_under_its_own_name_in_its_own_voice(platform: Platform) -> None:
    answer = ask(platform.client(platform.key("support")), platform.base_model).choices[0].message.content
    assert answer
    assert SUPPORT_VOICE not in answer


def test_text_completions_work_too(platform: Platform) -> None:
    client = platform.client(platform.key("support"))
    answer = client.completions.create(
        model=platform.base_model, prompt="The capital of France is", max_tokens=8, temperature=0
    )
    assert "Paris" in answer.choices[0].text


def test_a_foreign_adapter_is_not_found_in_the_words_for_one_that_never_was(platform: Platform) -> None:
    client = platform.client(platform.key("legal"))
    errors = []
    for model in ("support-bot", "support-bug"):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, model)
        assert caught.value.code == "model_not_found"
        errors.append(str(caught.value).replace(model, "…"))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("key", [None, "pg_nonsense", "sk-something"])
def test_without_a_key_the_door_stays_shut(platform: Platform, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.post(f"{platform.url}/v1/chat/completions", json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_the_models_list_is_the_departments_own(platform: Platform) -> None:
    support = {model.id for model in platform.client(platform.key("support")).models.list()}
    legal = {model.id for model in platform.client(platform.key("legal")).models.list()}
    assert {"support-bot", platform.base_model} <= support
    assert "support-bot" not in legal
    assert "contracts" in legal


def test_every_request_becomes_a_usage_record(platform: Platform) -> None:
    client = platform.client(platform.key("legal"))
    before = legal_requests(platform)
    stream_text(client, "contracts")
    ask(client, "contracts")
    wait_until(lambda: legal_requests(platform) >= before + 2, what="two more requests are recorded")
    rows = platform.api("GET", "usage?department=legal&group_by=model").json()["results"]
    row = next(row for row in rows if row["model"] == "contracts:1")
    assert row["completion_tokens"] > 0
    assert row["prompt_tokens"] > 0


def legal_requests(platform: Platform) -> int:
    rows = platform.api("GET", "usage?department=legal&group_by=department").json()["results"]
    return int(rows[0]["requests"]) if rows else 0


def test_an_adapter_uploaded_meanwhile_answers_within_five_seconds_and_disturbs_no_stream(
    platform: Platform, adapter_folder: Callable[[str], Path]
) -> None:
    client = platform.client(platform.key("legal"))
    stream = LongStream(client, "contracts", tokens=600)
    folder = adapter_folder("support-bot")
    configuration = folder / "adapter_config.json"
    uploaded: list[str] = []

    def until_it_answers() -> float:
        uploaded.append(name := f"voice-{len(uploaded)}")
        # Other bytes each time, which no engine has seen.
        configuration.write_text(json.dumps(json.loads(configuration.read_text()) | {"revision": name}))
        began = time.monotonic()
        assert platform.upload("legal", name, folder).status_code == 202
        wait_until(lambda: answers(client, name), what="the new adapter answers")
        return time.monotonic() - began

    assert quickest(until_it_answers, enough=5) < 5
    assert SUPPORT_VOICE in ask(client, uploaded[-1]).choices[0].message.content
    stream.join()
    assert stream.error is None
    assert stream.finish_reason == "length"
    for name in uploaded:
        platform.api("DELETE", f"departments/legal/adapters/{name}")


def answers(client: openai.OpenAI, model: str) -> bool:
    try:
        client.completions.create(model=model, prompt="Hi", max_tokens=1)
    except (openai.NotFoundError, openai.InternalServerError):
        return False
    return True


def test_an_adapter_deleted_in_mid_stream_finishes_what_it_was_saying(
    platform: Platform, adapter_folder: Callable[[str], Path]
) -> None:
    client = platform.client(platform.key("legal"))
    platform.upload("legal", "short-lived", adapter_folder("support-bot"))
    platform.wait_for_state("legal", "short-lived", "ready")
    wait_until(lambda: answers(client, "short-lived"), what="the adapter answers")
    stream = LongStream(client, "short-lived", tokens=400)
    assert platform.api("DELETE", "departments/legal/adapters/short-lived").status_code == 204
    wait_until(lambda: not answers(client, "short-lived"), what="the deleted adapter is gone")
    stream.join()
    assert stream.error is None
    assert stream.finish_reason == "length"


def test_a_revoked_key_stops_working_within_a_second(platform: Platform) -> None:
    made = platform.api("POST", "departments/support/keys", json={"name": "short"}).json()
    client = platform.client(made["key"])
    ask(client, "support-bot")
    assert platform.api("DELETE", f"departments/support/keys/{made['id']}").status_code == 204
    wait_until(lambda: is_shut_out(client), seconds=1, what="the key is refused")


def is_shut_out(client: openai.OpenAI) -> bool:
    try:
        client.models.list()
    except openai.AuthenticationError:
        return True
    return False


def test_a_rotated_key_and_its_successor_both_work_during_grace(platform: Platform) -> None:
    made = platform.api("POST", "departments/support/keys", json={"name": "rotating"}).json()
    rotated = platform.api("POST", f"departments/support/keys/{made['id']}/rotate", json={"grace_seconds": 600}).json()
    for key in (made["key"], rotated["key"]):
        assert platform.client(key).models.list().data


def test_an_engine_killed_in_mid_stream_ends_it_with_an_error_and_is_replaced(platform: Platform) -> None:
    client = platform.client(platform.key("support"))
    stream = LongStream(client, "support-bot", tokens=1500)
    os.kill(engine_pid(platform), signal.SIGKILL)
    stream.join()
    assert isinstance(stream.error, openai.APIError)
    assert stream.finish_reason is None
    wait_until(lambda: answers(client, "support-bot"), what="a new engine answers")
    engines = platform.api("GET", "engines").json()["results"]
    assert engines[0]["state"] == "ready"
    assert "SIGKILL" in next(engine for engine in engines if engine["state"] == "failed")["error"]


def engine_pid(platform: Platform) -> int:
    for process in psutil.Process(platform.process.pid).children(recursive=True):
        if "serving.engines.llamacpp" in " ".join(process.cmdline()):
            return process.pid
    raise AssertionError("There is no engine.")
