"""A conversation's next turn computes only what is new, says so, and says the same as without reuse."""

from collections.abc import Callable
from typing import Any

import httpx

STORY = "Once upon a time there was a small village by the sea, where everybody knew everybody else's name. "


async def usage_of(client: httpx.AsyncClient, prompt: str, **more: Any) -> tuple[int, int]:
    """Prompt tokens, and how many of them were cached."""
    body = {"model": "base", "prompt": prompt, "max_tokens": 4, "temperature": 0} | more
    usage = (await client.post("/v1/completions", json=body)).json()["usage"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


async def test_the_next_turn_of_a_chat_is_mostly_cached(client: httpx.AsyncClient, host: Any) -> None:
    messages = [{"role": "user", "content": STORY + "What is it about?"}]
    body = {"model": "red", "max_tokens": 12, "temperature": 0, "cache_salt": "chat"}
    queries, hits = host.metric("prefix_cache_queries_total"), host.metric("prefix_cache_hits_total")
    first = (await client.post("/v1/chat/completions", json=body | {"messages": messages})).json()
    messages += [first["choices"][0]["message"], {"role": "user", "content": "And then?"}]

    second = (await client.post("/v1/chat/completions", json=body | {"messages": messages})).json()

    fresh = (
        await client.post("/v1/chat/completions", json=body | {"messages": messages, "cache_salt": "other"})
    ).json()
    cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= first["usage"]["prompt_tokens"]
    assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["choices"][0]["message"] == fresh["choices"][0]["message"]
    assert host.metric("prefix_cache_hits_total") - hits >= cached
    assert host.metric("prefix_cache_queries_total") - queries == sum(
        one["usage"]["prompt_tokens"] for one in (first, second, fresh)
    )


async def test_neither_another_department_nor_another_adapter_reuses_it(client: httpx.AsyncClient) -> None:
    prompt = STORY + "Apart."
    total, _ = await usage_of(client, prompt, cache_salt="ours")

    assert await usage_of(client, prompt, cache_salt="theirs") == (total, 0)
    assert await usage_of(client, prompt, model="red", cache_salt="ours") == (total, 0)
    assert await usage_of(client, prompt, cache_salt="ours") == (total, total - 1)


async def test_the_choices_of_one_prompt_compute_it_once(client: httpx.AsyncClient, host: Any) -> None:
    before = host.metric("prefix_cache_hits_total")

    total, _ = await usage_of(client, STORY * 2 + "Choices.", n=4, cache_salt="choices")

    assert host.metric("prefix_cache_hits_total") - before == 3 * (total - 1)


async def test_what_is_reused_says_what_is_computed(complete: Callable[..., Any]) -> None:
    for end in ("The baker", "The fisherman", "The baker's daughter", "The baker"):
        reused = await complete("blue", STORY + end, 12, cache_salt="one")
        computed = await complete("blue", STORY + end, 12, cache_salt=f"fresh {end}")

        assert reused == computed
