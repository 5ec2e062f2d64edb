"""Twenty variants of what PEFT saves: accepted, and of one effect on the logits in llama.cpp and in vLLM."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapter_factory import MODULES, small_adapter
from llama_logits import LlamaLogits, cosine
from plain_gguf import write_gguf
from running_platform import VLLM_IN_ONE_PROCESS, VLLM_MODEL, run_in_vllm
from serving.adapters.convert_gguf import convert
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.validate import validate
from serving.adapters.reading.limits import Limits

# The start of an engine is in it.
pytestmark = pytest.mark.timeout(1200)
ALL = tuple(MODULES)
ATTENTION = ALL[:4]
MLP = ALL[4:]
VARIANTS: dict[str, dict[str, Any]] = {
    "rank-1": {"rank": 1, "alpha": 2},
    "rank-2": {"rank": 2, "alpha": 4},
    "rank-8": {"rank": 8},
    "rank-16": {"rank": 16, "alpha": 16},
    "rank-32": {"rank": 32, "alpha": 16},
    "rank-64": {"rank": 64, "alpha": 16},
    "odd-rank": {"rank": 7, "alpha": 7},
    "alpha-half": {"rank": 8, "alpha": 4},
    "alpha-fraction": {"rank": 4, "alpha": 5.5},
    "float32": {"dtype": "F32"},
    "bfloat16": {"dtype": "BF16"},
    "attention": {"modules": ATTENTION},
    "mlp": {"modules": MLP, "alpha": 4},
    "output-only": {"modules": ["self_attn.o_proj"]},
    "down-only": {"modules": ["mlp.down_proj"], "alpha": 4},
    "every-module": {"modules": ALL, "alpha": 2, "dtype": "F32"},
    "rslora": {"rank": 16, "alpha": 6, "use_rslora": True},
    "rank-pattern": {"rank": 4, "ranks": {"self_attn.q_proj": 12}},
    "alpha-pattern": {"rank": 4, "alpha_pattern": {"v_proj": 16, r"layers\.1[0-9]\.self_attn\.q_proj": 2}},
    "rslora-and-patterns": {
        "modules": ATTENTION,
        "rank": 8,
        "alpha": 4,
        "ranks": {"self_attn.k_proj": 3},
        "alpha_pattern": {"o_proj": 9},
        "use_rslora": True,
        "dtype": "BF16",
    },
}
# Token ids of the demo base model.
PROMPTS = [[1, 9690, 198, 2683, 359, 253, 5356], [504, 3575, 282, 4649, 314], [28, 339, 1137, 549, 3163, 480, 260, 905]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variants")
    for number, (name, options) in enumerate(VARIANTS.items()):
        small_adapter(seed=number, **options).write(folder / name)
    (folder / "prompts.json").write_text(json.dumps(PROMPTS))
    return folder


@pytest.fixture(scope="module")
def in_vllm(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    output = folder / "vllm.npz"
    run_in_vllm(
        "vllm_logits.py",
        str(folder),
        str(output),
        home=tmp_path_factory.mktemp("home"),
        variables=VLLM_IN_ONE_PROCESS,
    )
    with np.load(output) as told:
        return dict(told)


@pytest.fixture(scope="module")
def llama(folder: Path) -> Iterator[LlamaLogits]:
    # Of the same float weights as vLLM has: the demo's own file rounds them, and what it computes with them.
    llama = LlamaLogits(write_gguf("llama", VLLM_MODEL, folder / "float.gguf"))
    yield llama
    llama.close()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_accepted_and_has_one_effect_in_both_engines(
    name: str, folder: Path, in_vllm: dict[str, np.ndarray], llama: LlamaLogits, base: BaseSpec, tmp_path: Path
) -> None:
    report = validate(folder / name, base, Limits())
    assert report.ok, report.findings
    convert(folder / name, base, tmp_path / "adapter.gguf")
    shift = llama.after(PROMPTS, tmp_path / "adapter.gguf") - llama.after(PROMPTS)
    expected = in_vllm[name] - in_vllm["base"]
    assert cosine(shift, expected) >= 0.99
    assert np.linalg.norm(shift) == pytest.approx(np.linalg.norm(expected), rel=0.02)


def test_there_are_twenty() -> None:
    assert len(VARIANTS) >= 20
