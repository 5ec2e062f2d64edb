"""Memory that contexts hold only in case somebody comes back is given to whoever needs it now."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deadline import wait_until
from serving.engines.llamacpp import pool as pool_module
from serving.engines.llamacpp.contexts import Context
from serving.engines.llamacpp.generation import Adapter, Generation
from serving.engines.llamacpp.host import Host
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.options import options_parse
from serving.engines.llamacpp.pool import ContextPool
from serving.engines.llamacpp.sampling import SamplingParams


class Crew:
    """A pool without a scheduler: its jobs are done when they are waited for."""

    def __init__(self, model_path: Path, *options: str) -> None:
        self.now = 1000.0
        options_read = options_parse(["--model", str(model_path), "--ctx-size", "64", "--parallel", "1", *options])
        self._jobs: list[Callable[[], None]] = []
        self.model = Model(options_read)
        self.pool = ContextPool(self.model, options_read, self._jobs.append, clock=lambda: self.now)

    def lend(self, name: str) -> Context | None:
        """A context for a new adapter, when there is room for another; None where the pool makes none."""
        self.now += 1
        adapter = Adapter(name)
        context = self.pool.lend(adapter, evict=False)
        if self.pool.is_growing:
            wait_until(lambda: self._jobs or None, seconds=30, what="another context is made")
            self._jobs.pop()()
            context = self.pool.lend(adapter, evict=False)
        return context

    def close(self) -> None:
        self.pool.close()
        self.model.close()


@pytest.fixture
def is_short(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the machine lacks memory; the last word counts."""
    said = [False]
    monkeypatch.setattr(pool_module, "memory_is_short", lambda: said[-1])
    return said


@pytest.fixture
def crew(tiny_model: Path, is_short: list[bool]) -> Iterator[Crew]:
    with closing(Crew(tiny_model)) as crew:
        yield crew


def busy(context: Context | None) -> Context:
    assert context is not None
    assert context.adapter is not None
    context.join(Generation(context.adapter, [1, 2, 3], SamplingParams(0), 1, None))
    return context


def test_what_nobody_has_used_for_ten_minutes_is_given_back_and_one_context_stays(crew: Crew) -> None:
    first, second = crew.lend("a"), crew.lend("b")
    crew.now += 590
    crew.pool.trim()
    assert crew.pool.contexts == [first, second]
    crew.now += 600
    crew.pool.trim()
    assert crew.pool.contexts == [second]
    crew.now += 600
    crew.pool.trim()
    assert crew.pool.contexts == [second]


def test_while_memory_is_short_idle_contexts_go_at_once_and_busy_ones_stay(crew: Crew, is_short: list[bool]) -> None:
    kept = busy(crew.lend("a"))
    crew.lend("b")
    is_short.append(True)
    crew.pool.trim()
    crew.pool.trim()
    assert crew.pool.contexts == [kept]
    assert crew.lend("c") is None
    is_short.append(False)
    crew.pool.trim()
    assert crew.lend("c") is not None


def test_memory_that_was_set_apart_is_kept(tiny_model: Path, is_short: list[bool]) -> None:
    with closing(Crew(tiny_model, "--kv-memory-mib", "64")) as crew:
        both = [crew.lend("a"), crew.lend("b")]
        is_short.append(True)
        crew.now += 10_000
        crew.pool.trim()
        assert crew.pool.contexts == both


async def test_a_running_host_looks_after_its_pool(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(pool_module, "memory_is_short", lambda: bool(loop.call_soon_threadsafe(looked.set)))
    host = Host(options_parse(["--model", str(tiny_model), "--ctx-size", "64", "--parallel", "1"]))
    await host.open()
    try:
        await asyncio.wait_for(looked.wait(), 60)
    finally:
        await host.close()
