"""Departments get their turns by what they have been served; a long prompt of one does not hold up another."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHORT, LONG = [1, 2, 3], list(range(200))


def finished_in_order(engine: Any, generations: list[Any]) -> list[str]:
    for output in engine.submit(*generations):
        assert output.text is not None
    return [generation.department for generation in engine.order[-len(generations) :]]


def test_a_department_with_many_requests_does_not_delay_another(make_engine: Callable[..., Any]) -> None:
    engine = make_engine("--parallel", "1", "--no-prefix-caching")
    many = [engine.generation(engine.base, SHORT, salt="many") for _ in range(20)]
    one = engine.generation(engine.base, SHORT, salt="one")

    order = finished_in_order(engine, [*many, one])

    assert order.index("one") <= 2


def test_departments_on_different_adapters_take_turns(
    make_engine: Callable[..., Any], tiny_lora_files: list[Path]
) -> None:
    engine = make_engine("--parallel", "4")
    red = engine.load(tiny_lora_files[0])
    for adapter in (engine.base, red):
        engine.say(adapter, SHORT)
    crowd = [engine.generation(engine.base, [n, 1], 64, salt="crowd") for n in range(4)]
    single = engine.generation(red, SHORT, 32, salt="single")

    order = finished_in_order(engine, [*crowd, single])

    # Both get equal numbers of tokens, so 32 of one are done long before 4 × 64 of the other.
    assert order == ["single", *["crowd"] * 4]


def test_a_weight_buys_turns(make_engine: Callable[..., Any]) -> None:
    engine = make_engine("--parallel", "1", "--weight", "heavy=4", "--no-prefix-caching")
    generations = [engine.generation(engine.base, SHORT, salt=salt) for salt in ["light"] * 10 + ["heavy"] * 10]

    order = finished_in_order(engine, generations)

    assert order[:10].count("heavy") >= 7


def test_a_priority_goes_before_fairness(make_engine: Callable[..., Any]) -> None:
    engine = make_engine("--parallel", "1", "--no-prefix-caching")
    usual = [engine.generation(engine.base, SHORT, salt=f"s{n}") for n in range(6)]
    urgent = engine.generation(engine.base, SHORT, salt="urgent", priority=-1)

    order = finished_in_order(engine, [*usual, urgent])

    assert order[0] == "urgent"


def test_a_long_prompt_yields_after_each_chunk(make_engine: Callable[..., Any], tiny_lora_files: list[Path]) -> None:
    engine = make_engine("--parallel", "2", "--chunk-size", "16", "--batch-size", "64")
    red = engine.load(tiny_lora_files[0])
    for adapter in (engine.base, red):
        engine.say(adapter, SHORT)
    steps: list[tuple[str, int]] = []
    for context in engine.call(lambda: engine.pool.contexts):
        watch(context, steps)
    long = engine.generation(engine.base, LONG, 1, salt="long")
    short = engine.generation(red, SHORT, 30, salt="short")

    finished_in_order(engine, [long, short])

    while steps[-1][0] == "long":
        steps.pop()
    assert [size for who, size in steps if who == "long"], "The long prompt was not computed beside the short one."
    for step, after in itertools.pairwise(steps):
        assert step[0] == "short" or (step[1] <= 16 and after[0] == "short")


def test_a_prompt_that_nobody_waits_behind_takes_whole_batches(make_engine: Callable[..., Any]) -> None:
    engine = make_engine("--parallel", "2", "--chunk-size", "16", "--batch-size", "64")
    steps: list[tuple[str, int]] = []
    for context in engine.call(lambda: engine.pool.contexts):
        watch(context, steps)

    engine.say(engine.base, LONG, 1, salt="long")

    assert [size for _, size in steps] == [64, 64, 64, 8]


def watch(context: Any, steps: list[tuple[str, int]]) -> None:
    """Notes whose prompt or output each step of a context computes, and how much of it."""
    filled = context.fill

    def fill(batch: Any, order: Any, chunk: int) -> Any:
        done = filled(batch, order, chunk)
        steps.extend((one.sequence.generation.department, len(one.tokens)) for one in done)
        return done

    context.fill = fill
