"""Log probabilities in both of OpenAI's shapes, streamed and whole."""

import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from llama_cpp import Llama

from demo_model import demo_model_path

BODY = {"model": "base", "prompt": "The capital of France is", "max_tokens": 4, "temperature": 0}
CHAT = {"model": "base", "messages": [{"role": "user", "content": "Hi 😀"}], "max_tokens": 4, "temperature": 0}


async def test_completions_tell_them_in_the_old_shape(client: httpx.AsyncClient) -> None:
    choice = (await client.post("/v1/completions", json=BODY | {"logprobs": 2})).json()["choices"][0]

    told = choice["logprobs"]
    assert "".join(told["tokens"]) == choice["text"]
    assert told["text_offset"] == [sum(map(len, told["tokens"][:at])) for at in range(4)]
    for token, logprob, top in zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True):
        assert top[token] == logprob == max(top.values())
        assert len(top) == 2


async def test_they_are_what_the_high_level_class_computes(client: httpx.AsyncClient) -> None:
    model = Llama(str(demo_model_path()), n_ctx=256, n_threads=1, flash_attn=True, logits_all=True, verbose=False)
    expected = model.create_completion(str(BODY["prompt"]), temperature=0, max_tokens=4, logprobs=2)
    model.close()

    choice = (await client.post("/v1/completions", json=BODY | {"logprobs": 2})).json()["choices"][0]

    wanted = expected["choices"][0]["logprobs"]["token_logprobs"]
    assert choice["logprobs"]["token_logprobs"] == pytest.approx(wanted, abs=0.05)


async def test_chats_tell_them_in_the_new_shape(client: httpx.AsyncClient) -> None:
    body = CHAT | {"logprobs": True, "top_logprobs": 3}

    choice = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]

    content = choice["logprobs"]["content"]
    assert b"".join(bytes(one["bytes"]) for one in content).startswith(choice["message"]["content"].encode())
    for one in content:
        assert one["token"] == one["top_logprobs"][0]["token"]
        assert len(one["top_logprobs"]) == 3
        assert sum(math.exp(top["logprob"]) for top in one["top_logprobs"]) <= 1.0001


async def test_a_stream_tells_the_same(client: httpx.AsyncClient, events_of: Callable[..., Any]) -> None:
    body = BODY | {"logprobs": 1}
    whole = (await client.post("/v1/completions", json=body)).json()["choices"][0]["logprobs"]

    events = await events_of("/v1/completions", body)

    parts = [event["choices"][0]["logprobs"] for event in events]
    assert {name: [one for part in parts for one in part[name]] for name in whole} == whole


async def test_without_asking_there_are_none(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/completions", json=BODY)).json()["choices"][0]["logprobs"] is None


async def test_echo_begins_with_the_prompt(client: httpx.AsyncClient, events_of: Callable[..., Any]) -> None:
    plain = (await client.post("/v1/completions", json=BODY)).json()["choices"][0]["text"]

    echoed = (await client.post("/v1/completions", json=BODY | {"echo": True})).json()["choices"][0]["text"]
    events = await events_of("/v1/completions", BODY | {"echo": True})

    assert echoed == str(BODY["prompt"]) + plain
    assert "".join(event["choices"][0]["text"] for event in events) == echoed


async def test_echo_of_token_ids_is_their_text(client: httpx.AsyncClient) -> None:
    tokens = (await client.post("/tokenize", json={"prompt": BODY["prompt"]})).json()["tokens"]
    by_text = (await client.post("/v1/completions", json=BODY | {"echo": True})).json()["choices"][0]["text"]

    body = BODY | {"prompt": tokens, "echo": True}

    assert (await client.post("/v1/completions", json=body)).json()["choices"][0]["text"].endswith(by_text)
