"""Completions over HTTP: the text is llama.cpp's, the shapes are OpenAI's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from llama_cpp import Llama
from openai import AsyncOpenAI

from demo_model import demo_model_path

CAPITAL = {"model": "base", "temperature": 0, "messages": [{"role": "user", "content": "Capital of France?"}]}


@pytest.fixture(scope="module")
def reference(host: object) -> Any:
    """llama-cpp-python's own high-level class, one sequence at a time."""
    # After the host, which sets how OpenMP waits only in its own process.
    model = Llama(str(demo_model_path()), n_ctx=512, n_threads=1, n_threads_batch=1, flash_attn=True, verbose=False)
    yield model
    model.close()


@pytest.mark.parametrize("prompt", ["The capital of France is", "def add(a, b):", "Ein Gedicht über Äpfel: "])
async def test_greedy_output_is_the_high_level_classes(
    complete: Callable[..., Any], reference: Llama, prompt: str
) -> None:
    expected = reference.create_completion(prompt, temperature=0, max_tokens=20, repeat_penalty=1.0)

    assert await complete("base", prompt, max_tokens=20) == expected["choices"][0]["text"]


@pytest.mark.parametrize("name", ["red", "blue"])
async def test_greedy_output_of_an_adapter_is_the_high_level_classes(
    complete: Callable[..., Any], lora_files: dict[str, Path], name: str
) -> None:
    # Two prompts with a common start longer than a chunk: the second is computed from there, and says the same.
    start = "".join(f"{number} " for number in range(100, 130))
    settings = {"n_ctx": 512, "n_threads": 1, "n_threads_batch": 1, "flash_attn": True, "verbose": False}
    model = Llama(str(demo_model_path()), lora_path=str(lora_files[name]), **settings)
    assert len(model.tokenize(start.encode())) > 64
    for prompt in (f"{start}and then", f"{start}and so on"):
        # Not further: of red's next tokens two are as likely but for 0.07, which rounding decides on some processors.
        expected = model.create_completion(prompt, temperature=0, max_tokens=6, repeat_penalty=1.0)

        assert await complete(name, prompt, 6) == expected["choices"][0]["text"]
    model.close()


async def test_a_chat_is_rendered_with_the_models_own_template(client: httpx.AsyncClient, reference: Llama) -> None:
    expected = reference.create_chat_completion(CAPITAL["messages"], temperature=0, max_tokens=12, repeat_penalty=1.0)

    response = await client.post("/v1/chat/completions", json=CAPITAL | {"max_tokens": 12})

    reply = response.json()
    assert reply["object"] == "chat.completion"
    assert reply["choices"][0]["message"] == expected["choices"][0]["message"]
    assert {name: reply["usage"][name] for name in expected["usage"]} == expected["usage"]


async def test_a_stream_says_the_same_as_a_whole_reply(
    client: httpx.AsyncClient, events_of: Callable[..., Any]
) -> None:
    body = CAPITAL | {"max_tokens": 12}
    whole = (await client.post("/v1/chat/completions", json=body)).json()

    events = await events_of("/v1/chat/completions", body | {"stream_options": {"include_usage": True}})

    *chunks, last = events
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert finishes == [None] * (len(chunks) - 1) + [whole["choices"][0]["finish_reason"]]
    assert last["choices"] == []
    totals = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [last["usage"][name] for name in totals] == [whole["usage"][name] for name in totals]


async def test_without_asking_a_stream_carries_no_usage(events_of: Callable[..., Any]) -> None:
    events = await events_of("/v1/completions", {"model": "base", "prompt": "a", "max_tokens": 2})

    assert all("usage" not in event for event in events)


async def test_the_openai_client_understands_it(client: httpx.AsyncClient) -> None:
    async with AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="none") as openai:
        reply = await openai.chat.completions.create(**CAPITAL, max_tokens=4)
        stream = await openai.chat.completions.create(**CAPITAL, max_tokens=4, stream=True)
        pieces = [chunk.choices[0].delta.content async for chunk in stream]

    assert "".join(pieces) == reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "length"


async def test_a_stop_string_ends_the_output_before_it(complete: Callable[..., Any]) -> None:
    text = await complete("base", "1 2 3 4", 24)
    stop = text[5:8]

    assert await complete("base", "1 2 3 4", 24, stop=stop) == text[: text.index(stop)]


async def test_the_models_end_of_turn_is_a_stop_and_ignore_eos_ignores_it(client: httpx.AsyncClient) -> None:
    end_soon = {"model": "base", "prompt": "Hi<|im_end|>", "logit_bias": {"2": 100}, "temperature": 0, "max_tokens": 5}

    stopped = (await client.post("/v1/completions", json=end_soon)).json()
    went_on = (await client.post("/v1/completions", json=end_soon | {"ignore_eos": True})).json()

    assert (stopped["choices"][0]["finish_reason"], stopped["usage"]["completion_tokens"]) == ("stop", 1)
    assert (went_on["choices"][0]["finish_reason"], went_on["usage"]["completion_tokens"]) == ("length", 5)


async def test_a_seed_repeats_and_its_choices_differ(client: httpx.AsyncClient) -> None:
    body = {"model": "base", "prompt": "Once upon a time", "seed": 7, "n": 2, "max_tokens": 12}

    # With salts of their own, both are computed from the start, and in the same batches.
    replies = [await client.post("/v1/completions", json=body | {"cache_salt": salt}) for salt in ("one", "two")]
    first, second = [reply.json()["choices"] for reply in replies]

    assert first == second
    assert first[0]["text"] != first[1]["text"]


async def test_top_k_of_one_is_greedy(complete: Callable[..., Any]) -> None:
    greedy = await complete("base", "The sky is", 8)

    assert await complete("base", "The sky is", 8, temperature=1.5, top_k=1) == greedy
    assert await complete("base", "The sky is", 8, temperature=1.5, top_p=1e-6) == greedy
    assert await complete("base", "The sky is", 8, temperature=1.5, min_p=1.0) == greedy


async def test_penalties_break_a_repetition(complete: Callable[..., Any]) -> None:
    prompt = "na na na na na na na na"
    plain = await complete("base", prompt, 8)

    assert plain.count("na") == 8
    assert (await complete("base", prompt, 8, repetition_penalty=1.9)).count("na") < 8
    assert (await complete("base", prompt, 8, repeat_penalty=1.9)).count("na") < 8
    assert (await complete("base", prompt, 8, frequency_penalty=2.0)).count("na") < 8
    assert (await complete("base", prompt, 8, presence_penalty=2.0)).count("na") < 8


async def test_a_bias_forbids_a_token(complete: Callable[..., Any], reference: Llama) -> None:
    token = reference.tokenize(b" Paris", add_bos=False)[0]

    assert (await complete("base", "The capital of France is", 1)) == " Paris"
    assert (await complete("base", "The capital of France is", 1, logit_bias={str(token): -100})) != " Paris"


async def test_several_prompts_each_get_their_choice(client: httpx.AsyncClient, complete: Callable[..., Any]) -> None:
    prompts = ["The sky is", "Grass is"]
    body = {"model": "base", "prompt": prompts, "temperature": 0, "max_tokens": 6}

    choices = (await client.post("/v1/completions", json=body)).json()["choices"]

    assert [choice["index"] for choice in choices] == [0, 1]
    assert [choice["text"] for choice in choices] == [await complete("base", prompt, 6) for prompt in prompts]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "word " * 600, "max_tokens": 1}),
        ("/v1/completions", {"prompt": "word", "max_tokens": 512}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "word " * 600}]}),
    ],
)
async def test_what_does_not_fit_the_context_is_refused(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    response = await client.post(path, json={"model": "base"} | body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert "512" in response.json()["error"]["message"]


async def test_a_prompt_longer_than_a_batch_is_computed_whole(complete: Callable[..., Any], reference: Llama) -> None:
    prompt = "".join(f"{number} " for number in range(100, 140))
    assert len(reference.tokenize(prompt.encode())) > 2 * 64
    expected = reference.create_completion(prompt, temperature=0, max_tokens=8, repeat_penalty=1.0)

    assert await complete("base", prompt, 8) == expected["choices"][0]["text"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": [10**6]}, "prompt"),
        ({"prompt": "a", "logit_bias": {"1000000": 1}}, "logit_bias"),
        ({"prompt": "a", "tools": [{}]}, "tools"),
    ],
)
async def test_a_bad_request_is_400_and_names_the_parameter(
    client: httpx.AsyncClient, body: dict[str, Any], param: str
) -> None:
    response = await client.post("/v1/completions", json={"model": "base"} | body)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
async def test_an_unknown_model_is_404_and_never_the_base(client: httpx.AsyncClient, path: str) -> None:
    body = {"model": "nobody", "prompt": "a", "messages": [{"role": "user", "content": "a"}]}
    body.pop("messages" if path == "/v1/completions" else "prompt")

    response = await client.post(path, json=body)

    assert response.status_code == 404
    assert response.json()["error"] == {
        "message": "The model `nobody` does not exist.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


async def test_utf8_is_never_broken_whatever_tokens_come(
    client: httpx.AsyncClient, events_of: Callable[..., Any]
) -> None:
    body = {"model": "base", "prompt": "😀🎉🚀🌍 日本語 😀🎉", "temperature": 1.5, "seed": 1, "n": 4, "max_tokens": 40}

    events = await events_of("/v1/completions", body)

    texts = [""] * 4
    for event in events:
        for choice in event["choices"]:
            texts[choice["index"]] += choice["text"]
    whole = (await client.post("/v1/completions", json=body)).json()["choices"]
    assert texts == [choice["text"] for choice in whole]
    assert any(ord(character) > 0xFF for text in texts for character in text), "The model wrote only ASCII."
