"""Contexts are computed side by side, one thread each; a lone one gets all threads; who left is gone after the step."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.engines.llamacpp.crowding import Crowding

SHORT = [1, 2, 3]


def contexts_of(engine: Any) -> list[Any]:
    return list(engine.call(lambda: engine.pool.contexts))


def before_each_step(engine: Any, act: Callable[[Any, int], None]) -> None:
    """Calls `act` with the context and its number of threads whenever a step is about to be computed."""
    for context in contexts_of(engine):

        def compute(
            batch: Any, *, threads: int, threads_batch: int, one: Any = context, do: Any = context.compute
        ) -> None:
            act(one, threads)
            do(batch, threads=threads, threads_batch=threads_batch)

        context.compute = compute


def until(holds: Callable[[], bool]) -> None:
    """Waits, half a minute at most."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "It did not come to that."


def with_two_adapters(make_engine: Callable[..., Any], path: Path, *options: str) -> tuple[Any, Any]:
    engine = make_engine("--threads", "2", "--parallel", "8", *options)
    red = engine.load(path)
    for adapter in (engine.base, red):
        engine.say(adapter, SHORT)
    return engine, red


def test_two_adapters_are_computed_side_by_side(make_engine: Callable[..., Any], tiny_lora_files: list[Path]) -> None:
    engine, red = with_two_adapters(make_engine, tiny_lora_files[0])
    both = threading.Barrier(2, timeout=30)
    met: set[str] = set()

    def meet(context: Any, threads: int) -> None:
        if threads == 1 and context.adapter.name not in met:
            met.add(context.adapter.name)
            both.wait()

    before_each_step(engine, meet)

    outputs = engine.submit(engine.generation(engine.base, SHORT, 16), engine.generation(red, SHORT, 16))

    assert all(output.text is not None for output in outputs)
    assert met == {"base", red.name}


def test_a_lone_context_gets_all_threads(make_engine: Callable[..., Any], tiny_lora_files: list[Path]) -> None:
    engine, red = with_two_adapters(make_engine, tiny_lora_files[0])
    engine.scheduler._crowding = Crowding()
    engine.scheduler._crowding.observe = lambda elapsed, on_processor: None
    widths: list[int] = []
    before_each_step(engine, lambda _, threads: widths.append(threads))

    engine.say(red, SHORT, 8)

    assert set(widths) == {2}


def test_an_adapter_with_many_sequences_spreads_over_two_contexts(make_engine: Callable[..., Any]) -> None:
    engine = make_engine("--threads", "2", "--parallel", "8")

    def say_eight() -> tuple[int, list[str]]:
        first = threading.Event()
        found: list[int] = []

        def count(*_: object) -> None:
            if not first.is_set():
                found.extend(len(one.sequences) for one in engine.pool.contexts)
                first.set()

        before_each_step(engine, count)
        outputs = engine.submit(*(engine.generation(engine.base, [n, 1], 12) for n in range(8)))
        texts = [output.text for output in outputs]
        return sorted(found)[0], texts

    _, alone = say_eight()
    assert len(contexts_of(engine)) == 2, "No second context was made."
    fewest, spread = say_eight()

    assert fewest == 4
    assert spread == alone


def test_few_sequences_stay_in_one_batch(make_engine: Callable[..., Any]) -> None:
    engine = make_engine("--threads", "2", "--parallel", "8")

    for output in engine.submit(*(engine.generation(engine.base, [n, 1], 12) for n in range(3))):
        assert output.text is not None

    assert len(contexts_of(engine)) == 1


def test_spreading_leaves_a_context_for_another_adapter(
    make_engine: Callable[..., Any], tiny_lora_files: list[Path]
) -> None:
    engine = make_engine("--threads", "2", "--parallel", "8", "--max-contexts", "2")
    red = engine.load(tiny_lora_files[0])
    engine.say(red, SHORT)

    for output in engine.submit(*(engine.generation(engine.base, [n, 1], 12) for n in range(8))):
        assert output.text is not None

    assert [one.adapter.name for one in contexts_of(engine)].count("base") == 1


def test_who_leaves_during_a_step_is_gone_after_it(make_engine: Callable[..., Any]) -> None:
    engine = make_engine("--threads", "2", "--parallel", "2", "--ctx-size", "4096")
    inside, go_on = threading.Event(), threading.Event()
    steps: list[int] = []

    def hold(context: Any, _: int) -> None:
        steps.append(len(context.sequences))
        if len(steps) == 3:
            inside.set()
            assert go_on.wait(30)

    before_each_step(engine, hold)
    leaving = engine.generation(engine.base, SHORT, 4000, ignore_eos=True)
    engine.submit(leaving)
    assert inside.wait(30)

    engine.scheduler.cancel([leaving])
    go_on.set()

    until(lambda: engine.call(lambda: engine.scheduler.unfinished) == [])
    assert len(steps) == 3


def test_a_heavier_department_is_not_held_to_its_lane(
    make_engine: Callable[..., Any], tiny_lora_files: list[Path]
) -> None:
    engine, red = with_two_adapters(make_engine, tiny_lora_files[0], "--weight", "heavy=4")
    heavy = [engine.generation(engine.base, [n, 1], 120, salt="heavy", ignore_eos=True) for n in range(3)]
    light = [engine.generation(red, [n, 1], 120, salt="light", ignore_eos=True) for n in range(3)]

    steps: list[str] = []
    before_each_step(engine, lambda context, _: steps.append(context.adapter.name))

    outputs = engine.submit(*heavy, *light)

    assert all(output.text is not None for output in outputs)
    last_of_heavy = len(steps) - 1 - steps[::-1].index("base")
    assert steps[:last_of_heavy].count(red.name) < 60, "Both went at one pace."


def test_less_urgent_work_does_not_run_beside_urgent_work(
    make_engine: Callable[..., Any], tiny_lora_files: list[Path]
) -> None:
    engine, red = with_two_adapters(make_engine, tiny_lora_files[0])
    usual = engine.generation(engine.base, SHORT, 120, salt="usual", ignore_eos=True)
    urgent = engine.generation(red, SHORT, 120, salt="urgent", ignore_eos=True, priority=-1)

    for output in engine.submit(usual, urgent):
        assert output.text is not None

    assert engine.order[-2:] == [urgent, usual]
