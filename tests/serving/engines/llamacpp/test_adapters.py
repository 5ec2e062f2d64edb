"""Adapters come and go at run time, and generations of different adapters never meet."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo_model import demo_model_path

PROMPTS = ["The capital of France is", "Once upon a time", "def add(a, b):"]


async def load(client: httpx.AsyncClient, name: str, path: Path | str) -> httpx.Response:
    return await client.post("/v1/load_lora_adapter", json={"lora_name": name, "lora_path": str(path)})


async def unload(client: httpx.AsyncClient, name: str) -> httpx.Response:
    return await client.post("/v1/unload_lora_adapter", json={"lora_name": name})


def error_of(response: httpx.Response) -> str:
    return str(response.json()["error"]["message"])


async def test_mixed_adapters_say_what_they_say_alone(complete: Callable[..., Any]) -> None:
    # Four models share two contexts, so contexts also change hands on the way.
    wanted = [(model, prompt) for prompt in PROMPTS for model in ("base", "red", "blue", "green")]
    alone = [await complete(*one) for one in wanted]

    together = await asyncio.gather(*(complete(*one) for one in wanted))

    assert together == alone
    assert len(set(alone)) == len(wanted), "The adapters do not differ; the test shows nothing."


async def test_an_adapter_can_be_loaded_used_and_unloaded(
    client: httpx.AsyncClient, complete: Callable[..., Any], lora_files: dict[str, Path]
) -> None:
    loaded = await load(client, "crimson", lora_files["red"])
    assert (loaded.status_code, loaded.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    names = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
    assert names[0] == "base"
    assert "crimson" in names

    assert await complete("crimson", PROMPTS[0]) == await complete("red", PROMPTS[0])

    assert (await unload(client, "crimson")).status_code == 200
    response = await client.post("/v1/completions", json={"model": "crimson", "prompt": "a"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert (await unload(client, "crimson")).status_code == 404


async def test_a_name_is_never_reused_for_other_bytes(client: httpx.AsyncClient, lora_files: dict[str, Path]) -> None:
    assert (await load(client, "reused", lora_files["red"])).status_code == 200
    assert (await unload(client, "reused")).status_code == 200

    refused = await load(client, "reused", lora_files["blue"])
    again = await load(client, "reused", lora_files["red"])

    assert refused.status_code == 400
    assert "other bytes" in error_of(refused)
    assert again.status_code == 200
    assert (await unload(client, "reused")).status_code == 200


@pytest.mark.parametrize(
    ("name", "path", "says"),
    [
        ("", "/x.gguf", "lora_name"),
        ("new", "", "lora_path"),
        ("base", "/x.gguf", "base model"),
        ("red", "/x.gguf", "already loaded"),
        ("new", "relative.gguf", "absolute"),
        ("new", "/no/such/file.gguf", "not a file"),
        ("new", "/", "not a file"),
    ],
)
async def test_a_load_that_cannot_be_is_400_and_says_why(
    client: httpx.AsyncClient, name: str, path: str, says: str
) -> None:
    response = await load(client, name, path)

    assert response.status_code == 400
    assert says in error_of(response)
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("damage", ["empty", "noise", "cut short", "header cut", "a base model", "other shapes"])
async def test_a_broken_file_is_refused_and_the_host_lives_on(
    client: httpx.AsyncClient,
    complete: Callable[..., Any],
    lora_files: dict[str, Path],
    write_lora: Callable[..., Path],
    tmp_path: Path,
    damage: str,
) -> None:
    good = lora_files["red"].read_bytes()
    bad = tmp_path / "bad.gguf"
    if damage == "a base model":
        bad = demo_model_path()
    elif damage == "other shapes":
        write_lora(bad, 1, hidden=64)
    else:
        bad.write_bytes(
            {"empty": b"", "noise": bytes(range(256)) * 9, "cut short": good[:-5000]}.get(damage, good[:99])
        )

    refused = await load(client, "bad", bad)

    assert refused.status_code == 400
    assert bad.name in error_of(refused)
    assert refused.json()["error"]["code"] == "adapter_refused"
    assert (await complete("base", PROMPTS[0], 1)) == " Paris"
    assert (await client.post("/v1/completions", json={"model": "bad", "prompt": "a"})).status_code == 404


async def test_loading_while_a_stream_runs_does_not_interrupt_it(
    client: httpx.AsyncClient, complete: Callable[..., Any], events_of: Callable[..., Any], lora_files: dict[str, Path]
) -> None:
    alone = await complete("blue", PROMPTS[1], 48)
    body = {"model": "blue", "prompt": PROMPTS[1], "max_tokens": 48, "temperature": 0}
    stream = asyncio.create_task(events_of("/v1/completions", body))

    for round in range(3):
        assert (await load(client, f"late-{round}", lora_files["green"])).status_code == 200
        await complete(f"late-{round}", PROMPTS[0], 2)
    assert not stream.done(), "The stream was over before the loads; the test shows nothing."

    assert "".join(event["choices"][0]["text"] for event in await stream) == alone
    for round in range(3):
        assert (await unload(client, f"late-{round}")).status_code == 200


async def test_unloading_lets_running_generations_finish(
    client: httpx.AsyncClient, complete: Callable[..., Any], lora_files: dict[str, Path]
) -> None:
    alone = await complete("green", PROMPTS[1], 48)
    assert (await load(client, "leaving", lora_files["green"])).status_code == 200
    body = {"model": "leaving", "prompt": PROMPTS[1], "max_tokens": 48, "temperature": 0, "stream": True}

    async with client.stream("POST", "/v1/completions", json=body) as response:
        lines = response.aiter_lines()
        first = await anext(lines)
        assert first.startswith("data: ")
        assert (await unload(client, "leaving")).status_code == 200
        late = await client.post("/v1/completions", json={"model": "leaving", "prompt": "a"})
        rest = [line async for line in lines if line]

    assert late.status_code == 404
    assert rest[-1] == "data: [DONE]"
    events = [httpx.Response(200, text=line.removeprefix("data: ")).json() for line in [first, *rest[:-1]]]
    assert "".join(event["choices"][0]["text"] for event in events) == alone
