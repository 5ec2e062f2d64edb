"""Two thousand requests in random order: each reply is what it is alone, and at the end nothing is left behind."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from serving.engines.llamacpp.errors import ModelNotFound

REQUESTS = 2000
# Conversations that begin alike, so that prefixes are shared, copied and cut; the longest need several chunks.
CLOSE = 0.02  # in log probability
STARTS = [list(range(1, length)) for length in (3, 20, 70)]


def prompts(draw: random.Random) -> list[list[int]]:
    return [
        [*start, *(draw.randrange(256) for _ in range(draw.randrange(1, 6)))] for start in STARTS for _ in range(12)
    ]


def single_runs(
    make_engine: Callable[..., Any], offered: list[list[int]], paths: list[Path]
) -> list[tuple[Path | None, list[int], list[int]]]:
    """What each adapter says to each prompt alone, where that is no close decision: rounding may decide those."""
    lone = make_engine("--parallel", "1", "--max-contexts", "1", "--no-prefix-caching", "--cache-type-k", "f32")
    found = []
    for path in (None, *paths):
        adapter = lone.base if path is None else lone.load(path)
        for prompt in offered:
            output = lone.submit(lone.generation(adapter, prompt, logprobs=2))[0]
            assert output.done.wait(60)
            tokens = [one for piece in output.pieces for one in piece.logprobs]
            if min(one.top[0][1] - one.top[1][1] for one in tokens) > CLOSE:
                found.append((path, prompt, [one.token for one in tokens]))
    return found


def tokens_of(output: Any) -> list[int]:
    assert output.error is None
    return [one.token for piece in output.pieces for one in piece.logprobs]


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize(("seed", "threads", "contexts"), [(1, 1, 2), (2, 2, 3)])
def test_random_traffic_gets_single_run_replies(
    make_engine: Callable[..., Any], tiny_lora_files: list[Path], seed: int, threads: int, contexts: int
) -> None:
    draw = random.Random(seed)
    references = single_runs(make_engine, prompts(draw), tiny_lora_files)
    assert len({tuple(tokens) for *_, tokens in references}) > len(references) / 2, "The replies hardly differ."

    engine = make_engine(
        *("--parallel", "3", "--max-contexts", str(contexts), "--batch-size", "32", "--chunk-size", "8"),
        *("--max-queue", str(REQUESTS), "--threads", str(threads)),
    )
    loaded = {path: engine.load(path) for path in tiny_lora_files}
    sent: list[tuple[Any, list[int]]] = []
    after_warm_up = 0
    for number in range(REQUESTS):
        path, prompt, expected = draw.choice(references)
        adapter = engine.base if path is None else loaded[path]
        salt, priority = draw.choice(["", "a", "b"]), draw.choice([0, 0, 0, -1])
        generation = engine.generation(adapter, prompt, salt=salt, priority=priority, logprobs=0)
        engine.submit(generation)
        sent.append((generation, expected))
        fate = draw.random()
        if fate < 0.1:
            engine.scheduler.cancel([draw.choice(sent)[0]])
        elif fate < 0.15 and path is not None:
            # Unloaded while it may be generating; the next version of the same bytes lives beside it until then.
            engine.call(lambda adapter=adapter: engine.scheduler.retire(adapter))
            loaded[path] = engine.load(path)
        elif fate < 0.3:
            generation.sink.done.wait(5)
        if number == REQUESTS // 2:
            after_warm_up = resident()

    finished = 0
    for generation, expected in sent[::-1]:
        if generation.sink.done.wait(0) or not is_cancelled(engine, generation):
            assert generation.sink.done.wait(60)
            if not isinstance(generation.sink.error, ModelNotFound):
                assert tokens_of(generation.sink) == expected
                finished += 1
    assert finished > REQUESTS / 2
    assert engine.call(lambda: engine.scheduler.unfinished) == []
    assert engine.call(lambda: [context.sequences for context in engine.pool.contexts]) == [[]] * contexts
    for adapter in loaded.values():
        engine.call(lambda adapter=adapter: engine.scheduler.retire(adapter))
        assert (adapter.users, adapter.pointer) == (0, None)
    assert resident() - after_warm_up < 20 * 2**20


def is_cancelled(engine: Any, generation: Any) -> bool:
    return generation not in engine.call(lambda: engine.scheduler.unfinished)
