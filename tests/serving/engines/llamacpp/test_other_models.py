"""What depends on the model: infilling, embeddings, chat templates; and what a model lacks is refused by name."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest


@pytest.fixture
def infill(start_host: Callable[..., Any], tiny_model: Path) -> Iterator[httpx.Client]:
    host = start_host("--ctx-size", "128", "--parallel", "2", model=tiny_model)
    with httpx.Client(base_url=host.url) as client:
        yield client


@pytest.fixture
def embed(start_host: Callable[..., Any], tiny_embedding_model: Path, tiny_lora_files: list[Path]) -> Any:
    host = start_host(
        *("--ctx-size", "128", "--parallel", "2", "--lora", f"red={tiny_lora_files[0]}"), model=tiny_embedding_model
    )
    with httpx.Client(base_url=host.url) as client:
        yield client


def test_a_suffix_is_put_between_the_models_infill_tokens(infill: httpx.Client) -> None:
    body = {"model": "base", "prompt": "ab", "suffix": "cd", "max_tokens": 4, "temperature": 0}
    filled = infill.post("/v1/completions", json=body).json()

    spelled = {"prompt": "<pre>ab<suf>cd<mid>", "suffix": None}
    assert infill.post("/v1/completions", json=body | spelled).json()["choices"] == filled["choices"]
    assert infill.post("/v1/completions", json=body | {"suffix": None}).json()["choices"] != filled["choices"]


def test_embeddings_are_unit_vectors_that_tell_inputs_apart(embed: httpx.Client) -> None:
    body = {"model": "base", "input": ["one text", "another", "one text"]}

    reply = embed.post("/v1/embeddings", json=body).json()

    one, other, again = (np.array(entry["embedding"]) for entry in reply["data"])
    assert [entry["index"] for entry in reply["data"]] == [0, 1, 2]
    assert np.linalg.norm(one) == pytest.approx(1)
    assert one == pytest.approx(again, abs=1e-6)
    assert one @ other < 0.999
    assert reply["usage"] == {"prompt_tokens": 23, "total_tokens": 23}


def test_embeddings_come_packed_and_by_adapter(embed: httpx.Client) -> None:
    body = {"model": "base", "input": [1, 2, 3]}
    plain = embed.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]

    packed = embed.post("/v1/embeddings", json=body | {"encoding_format": "base64"}).json()["data"][0]["embedding"]
    red = embed.post("/v1/embeddings", json=body | {"model": "red"}).json()["data"][0]["embedding"]
    after = embed.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]

    assert np.frombuffer(base64.b64decode(packed), "<f4") == pytest.approx(plain, abs=1e-6)
    assert red != pytest.approx(plain, abs=1e-3)
    assert after == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": "x", "encoding_format": "zip"}, "encoding_format"),
        ({"input": "x", "dimensions": 8}, "dimensions"),
        ({"input": [10**6]}, "input"),
        ({"input": "x" * 200}, None),
    ],
)
def test_a_bad_request_for_embeddings_is_400(embed: httpx.Client, body: dict[str, Any], param: str | None) -> None:
    response = embed.post("/v1/embeddings", json={"model": "base"} | body)

    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_a_model_made_for_embeddings_writes_no_text(embed: httpx.Client) -> None:
    response = embed.post("/v1/completions", json={"model": "base", "prompt": "a"})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "model")


async def test_what_the_demo_model_lacks_is_refused_by_name(client: httpx.AsyncClient) -> None:
    infilled = await client.post("/v1/completions", json={"model": "base", "prompt": "a", "suffix": "b"})
    embedded = await client.post("/v1/embeddings", json={"model": "base", "input": "a"})
    unknown = await client.post("/v1/embeddings", json={"model": "nobody", "input": "a"})

    assert (embedded.status_code, embedded.json()["error"]["param"]) == (400, "model")
    assert (infilled.status_code, infilled.json()["error"]["param"]) == (400, "suffix")
    assert unknown.status_code == 404


async def test_tokenize_has_vllms_shape(client: httpx.AsyncClient) -> None:
    reply = (await client.post("/tokenize", json={"prompt": "Hello there", "return_token_strs": True})).json()

    assert reply["count"] == len(reply["tokens"]) == len(reply["token_strs"])
    assert reply["max_model_len"] == 512
    assert "".join(reply["token_strs"]).endswith("Hello there")


async def test_tokenize_counts_a_chat_as_the_chat_itself_does(client: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    reply = await client.post("/v1/chat/completions", json={"model": "base", "messages": messages, "max_tokens": 1})

    counted = (await client.post("/tokenize", json={"messages": messages})).json()["count"]
    without = (await client.post("/tokenize", json={"messages": messages, "add_generation_prompt": False})).json()

    assert counted == reply.json()["usage"]["prompt_tokens"]
    assert without["count"] < counted


@pytest.mark.parametrize("body", [{}, {"prompt": "a", "messages": []}, {"prompt": "a", "add_special_tokens": 1}])
async def test_tokenize_refuses_what_it_cannot_read(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post("/tokenize", json=body)).status_code == 400
