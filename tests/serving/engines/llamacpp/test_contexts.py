"""Logits: the same alone and in a mixed batch, in one piece and in chunks, with reuse and without; adapters apart."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from demo_model import demo_model_path
from serving.engines.llamacpp.batch import Batch
from serving.engines.llamacpp.contexts import Context
from serving.engines.llamacpp.generation import Adapter, Generation
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.native import api
from serving.engines.llamacpp.options import options_parse
from serving.engines.llamacpp.sampling import SamplingParams

Logits = npt.NDArray[np.float32]
TOLERANCE = 1e-3
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a land far away, there lived a king who had three daughters, and the youngest of them",
    "def add(a, b):",
]


class Bench:
    """The demo model with one context, driven step by step."""

    def __init__(self, *options: str) -> None:
        options_read = options_parse(
            ["--model", str(demo_model_path()), "--ctx-size", "128", "--parallel", "4", "--batch-size", "64", *options]
        )
        self.model = Model(options_read)
        self.context = Context(self.model, options_read)
        self.base = Adapter("base")
        self._batch = Batch(options_read.batch_size)

    def load(self, path: Path) -> Adapter:
        return Adapter(path.stem, path, None, self.model.adapter_load(path))

    def tokens(self, text: str) -> list[int]:
        return self.model.tokenise(text, add_special=True)

    def logits(self, *prompts: list[int], salt: str = "", chunk: int = 64) -> list[Logits]:
        """Those after each prompt, computed together; `cached` says how much of them was reused."""
        generations = [Generation(self.context.adapter or self.base, p, SamplingParams(0), 1, None) for p in prompts]
        for generation in generations:
            generation.salt = salt
        sequences = [self.context.join(generation) for generation in generations]
        found: dict[int, Logits] = {}
        while pending := [one for one in sequences if one.pending]:
            steps = self.context.fill(self._batch, pending, chunk)
            self.context.compute(self._batch, threads=2, threads_batch=2)
            for step in steps:
                if step.row is not None:
                    pointer = api.llama_get_logits_ith(self.context.pointer, step.row)
                    size = self.model.vocabulary_size
                    found[sequences.index(step.sequence)] = np.ctypeslib.as_array(pointer, (size,)).copy()
        for sequence in sequences:
            self.context.leave(sequence)
        self.cached = [generation.cached for generation in generations]
        return [found[at] for at in range(len(prompts))]

    def close(self) -> None:
        self.context.close()
        self.model.close()


@pytest.fixture(scope="module")
def opened() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def bench(opened: Bench) -> Bench:
    opened.context.bind(opened.base)
    return opened


def shift(one: Logits, other: Logits) -> float:
    return float(np.abs(one - other).max())


def test_a_mixed_batch_computes_what_each_sequence_computes_alone(bench: Bench) -> None:
    prompts = [bench.tokens(prompt) for prompt in PROMPTS]
    alone = []
    for prompt in prompts:
        bench.context.bind(bench.base)
        alone += bench.logits(prompt)
    bench.context.bind(bench.base)

    together = bench.logits(*prompts)

    assert [shift(*pair) for pair in zip(together, alone, strict=True)] == pytest.approx([0, 0, 0], abs=TOLERANCE)
    assert shift(alone[0], alone[1]) > 1, "The prompts' logits do not differ; the test shows nothing."


@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_chunks_compute_what_one_piece_computes(bench: Bench, chunk: int) -> None:
    prompt = bench.tokens(PROMPTS[1])
    assert len(prompt) > chunk
    (whole,) = bench.logits(prompt)
    bench.context.bind(bench.base)

    (chunked,) = bench.logits(prompt, chunk=chunk)

    assert shift(chunked, whole) == pytest.approx(0, abs=TOLERANCE)


def test_a_reused_prefix_computes_what_a_whole_prompt_computes(bench: Bench) -> None:
    first, second = bench.tokens(PROMPTS[1]), bench.tokens(PROMPTS[1] + " was called Mary.")
    (fresh,) = bench.logits(second)
    bench.context.bind(bench.base)
    bench.logits(first)

    (reused,) = bench.logits(second)

    assert bench.cached == [len(first)]
    assert shift(reused, fresh) == pytest.approx(0, abs=TOLERANCE)


def test_a_copied_prefix_computes_the_same_in_both_sequences(bench: Bench) -> None:
    start = bench.tokens(PROMPTS[1])
    ends = [bench.tokens(end) for end in (" was", " had", " loved")]
    fresh = []
    for end in ends:
        bench.context.bind(bench.base)
        fresh += bench.logits(start + end)
    bench.context.bind(bench.base)
    bench.logits(start)

    reused = bench.logits(*(start + end for end in ends))

    assert bench.cached == [len(start)] * 3
    assert [shift(*pair) for pair in zip(reused, fresh, strict=True)] == pytest.approx([0, 0, 0], abs=TOLERANCE)


def test_one_adapters_cache_is_never_continued_by_another(bench: Bench, lora_files: dict[str, Path]) -> None:
    red, blue = bench.load(lora_files["red"]), bench.load(lora_files["blue"])
    prompt = bench.tokens(PROMPTS[1])
    bench.context.bind(blue)
    (right,) = bench.logits(prompt)

    # What would happen: the cache says nothing of whose it is.
    bench.context.bind(red)
    bench.logits(prompt)
    pointers = (api.llama_adapter_lora_p_ctypes * 1)(blue.pointer)
    api.llama_set_adapters_lora(bench.context.pointer, pointers, 1, (ctypes.c_float * 1)(1.0))
    (wrong,) = bench.logits(prompt)
    assert bench.cached == [len(prompt) - 1]
    assert shift(wrong, right) > 1

    bench.context.bind(red)
    bench.logits(prompt)
    bench.context.bind(blue)
    (switched,) = bench.logits(prompt)

    assert bench.cached == [0]
    assert shift(switched, right) == pytest.approx(0, abs=TOLERANCE)
    bench.context.bind(None)


def test_one_departments_cache_is_never_continued_by_another(bench: Bench) -> None:
    prompt = bench.tokens(PROMPTS[1])
    bench.logits(prompt, salt="ours")

    bench.logits(prompt, salt="theirs")
    theirs = bench.cached
    bench.logits(prompt, salt="ours")

    assert (theirs, bench.cached) == ([0], [len(prompt) - 1])


def test_without_prefix_caching_nothing_is_reused() -> None:
    bench = Bench("--no-prefix-caching")
    bench.context.bind(bench.base)
    prompt = bench.tokens(PROMPTS[0])

    first, second = bench.logits(prompt), bench.logits(prompt)

    assert bench.cached == [0]
    assert shift(first[0], second[0]) == pytest.approx(0, abs=TOLERANCE)
    bench.close()


@pytest.mark.parametrize("types", [("q8_0", "q8_0"), ("f32", "f32"), ("bf16", "f16")])
def test_other_types_of_cache_give_nearly_the_same(bench: Bench, types: tuple[str, str]) -> None:
    (usual,) = bench.logits(bench.tokens(PROMPTS[1]))
    other = Bench("--cache-type-k", types[0], "--cache-type-v", types[1], "--flash-attn", "on")
    other.context.bind(other.base)

    (found,) = other.logits(other.tokens(PROMPTS[1]))

    assert shift(found, usual) < 3
    assert int(found.argmax()) == int(usual.argmax())
    other.close()
