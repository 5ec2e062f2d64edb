"""Requests share steps, wait their turn in a bounded queue, and free their place when their client leaves."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from plain_http import NO_CERTIFICATES
from serving.engines.llamacpp.errors import QueueFull

LONG = {"model": "base", "prompt": "Once upon a time", "max_tokens": 480, "ignore_eos": True, "temperature": 0}


async def running(client: httpx.AsyncClient, count: int, state: str = "running") -> None:
    """Waits until exactly so many sequences run, or wait."""
    async with asyncio.timeout(30):
        while True:
            metrics = (await client.get("/metrics")).text
            if f'num_requests_{state}{{model_name="base"}} {count}.0' in metrics:
                return
            await asyncio.sleep(0.02)


async def test_a_request_joins_while_another_runs(client: httpx.AsyncClient, complete: Callable[..., Any]) -> None:
    async with client.stream("POST", "/v1/completions", json=LONG | {"stream": True}) as response:
        lines = response.aiter_lines()
        await anext(lines)
        await complete("base", "The capital of France is", 4)
        await complete("red", "The capital of France is", 4)
        after = [line for line in [await anext(lines) for _ in range(4)] if line]
        assert after
        assert "[DONE]" not in "".join(after)
    await running(client, 0)


async def test_a_client_that_leaves_a_stream_frees_its_sequences(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/v1/completions", json=LONG | {"stream": True, "n": 4}) as response:
        await anext(response.aiter_lines())
        await running(client, 4)

    await running(client, 0)


async def test_a_client_that_leaves_before_a_whole_reply_frees_its_sequence(client: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(client.post("/v1/completions", json=LONG))
    await running(client, 1)
    waiting.cancel()

    await running(client, 0)


async def test_more_requests_than_places_are_all_answered(complete: Callable[..., Any]) -> None:
    prompts = [f"{number} plus one is" for number in range(10)]
    alone = [await complete("base", prompt, 6) for prompt in prompts]

    assert await asyncio.gather(*(complete("base", prompt, 6) for prompt in prompts)) == alone


async def test_a_full_queue_is_503_at_once(small_host_url: str) -> None:
    async with httpx.AsyncClient(base_url=small_host_url, timeout=60, verify=NO_CERTIFICATES) as client:
        held = [asyncio.create_task(client.post("/v1/completions", json=LONG | {"max_tokens": 200}))]
        await running(client, 1)
        held.append(asyncio.create_task(client.post("/v1/completions", json=LONG | {"max_tokens": 1})))
        await running(client, 1, "waiting")

        refused = await client.post("/v1/completions", json=LONG)

        assert not held[0].done()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "queue_full"
        assert [(await one).status_code for one in held] == [200, 200]


def test_many_sequences_of_one_request_do_not_go_beyond_the_queue(make_engine: Callable[..., Any]) -> None:
    engine = make_engine("--max-queue", "4")

    def several(count: int) -> list[Any]:
        return [engine.generation(engine.base, [1, 2, 3], 1) for _ in range(count)]

    for waiting, refused, more in ((6, 1, 0), (3, 2, 1)):
        go_on = threading.Event()
        engine.scheduler.defer(go_on.wait)
        try:
            outputs = engine.submit(*several(waiting))
            with pytest.raises(QueueFull):
                engine.submit(*several(refused))
            outputs += engine.submit(*several(more)) if more else []
        finally:
            go_on.set()
        assert all(output.text is not None for output in outputs)
