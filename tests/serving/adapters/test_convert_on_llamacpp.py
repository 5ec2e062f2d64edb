"""Converted adapters do in llama.cpp what they do in Hugging Face: the shift of the logits points the same way."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from adapter_factory import DEMO_ADAPTERS, SMOLLM2_GGUF, every_module_adapter
from llama_logits import LlamaLogits, cosine
from serving.adapters import convert_gguf
from serving.adapters.convert_gguf import convert
from serving.adapters.examination.base_spec import BaseSpec

REFERENCE = Path(__file__).with_name("reference_logits.npz")
LEAST_COSINE = 0.99


class Reference:
    """What Hugging Face computed, once, in float32 (demo/record_reference_logits.py)."""

    def __init__(self) -> None:
        with np.load(REFERENCE) as arrays:
            self.vocabulary = arrays["vocabulary"]
            self.prompts = [[int(token) for token in row if token >= 0] for row in arrays["prompts"]]
            self.base = arrays["base"].astype(np.float32)
            names = [*(path.name for path in DEMO_ADAPTERS), "every-module"]
            self.shift = {name: arrays[name].astype(np.float32) for name in names}


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaLogits]:
    llama = LlamaLogits(SMOLLM2_GGUF)
    yield llama
    llama.close()


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


@pytest.fixture(scope="module")
def base_logits(llama: LlamaLogits, reference: Reference) -> np.ndarray:
    return llama.after(reference.prompts)[:, reference.vocabulary]


def test_the_base_model_is_the_one_that_the_reference_was_recorded_from(
    reference: Reference, base_logits: np.ndarray
) -> None:
    assert cosine(base_logits, reference.base) > 0.999


@dataclass(frozen=True)
class Bench:
    """Measures how an adapter shifts the logits in llama.cpp."""

    llama: LlamaLogits
    reference: Reference
    base_logits: np.ndarray
    scratch: Path

    def shift(self, adapter: Path) -> np.ndarray:
        convert(adapter, BaseSpec.from_gguf(SMOLLM2_GGUF), self.scratch / "adapter.gguf")
        logits = self.llama.after(self.reference.prompts, self.scratch / "adapter.gguf")
        return logits[:, self.reference.vocabulary] - self.base_logits


@pytest.fixture
def bench(llama: LlamaLogits, reference: Reference, base_logits: np.ndarray, tmp_path: Path) -> Bench:
    return Bench(llama, reference, base_logits, tmp_path)


@pytest.mark.parametrize("adapter", DEMO_ADAPTERS, ids=lambda path: path.name)
def test_a_demo_adapter_shifts_the_logits_as_in_hugging_face(adapter: Path, bench: Bench) -> None:
    expected = bench.reference.shift[adapter.name]
    shift = bench.shift(adapter)
    assert cosine(shift, expected) >= LEAST_COSINE
    assert np.linalg.norm(shift) == pytest.approx(np.linalg.norm(expected), rel=0.05)


@pytest.mark.parametrize("adapter", DEMO_ADAPTERS, ids=lambda path: path.name)
def test_the_measure_shows_a_forgotten_permutation(
    adapter: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert_gguf, "_interleaved", lambda values, _heads: values)
    assert cosine(bench.shift(adapter), bench.reference.shift[adapter.name]) < LEAST_COSINE - 0.02


def test_all_modules_rslora_and_patterns_of_rank_and_alpha_have_the_effect_that_peft_gives_them(bench: Bench) -> None:
    adapter = every_module_adapter().write(bench.scratch / "every-module")
    expected = bench.reference.shift["every-module"]
    shift = bench.shift(adapter)
    assert cosine(shift, expected) >= LEAST_COSINE
    assert np.linalg.norm(shift) == pytest.approx(np.linalg.norm(expected), rel=0.05)


@pytest.mark.parametrize("option", ["use_rslora", "alpha_pattern"])
def test_the_measure_shows_a_forgotten_scale(option: str, bench: Bench) -> None:
    adapter = every_module_adapter()
    del adapter.config[option]
    shift = bench.shift(adapter.write(bench.scratch / "every-module"))
    expected = bench.reference.shift["every-module"]
    assert cosine(shift, expected) < LEAST_COSINE
