"""PEFT's patterns choose the modules that PEFT would choose."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_factory import small_adapter
from deadline import quickest
from serving.adapters.examination.lora_config import LoraConfig
from serving.adapters.examination.patterns import UnsafePattern, compile_pattern
from serving.adapters.examination.peft_config import read_config
from serving.adapters.examination.report import Report
from serving.adapters.reading.limits import Limits

LAYER_3_Q = "model.layers.3.self_attn.q_proj"
LAYER_12_V = "model.layers.12.self_attn.v_proj"


def config_with(folder: Path, **options: Any) -> LoraConfig:
    small_adapter(rank=4, alpha=8, **options).write(folder)
    config = read_config(folder / "adapter_config.json", Limits(), Report())
    assert config is not None
    return config


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("q_proj", True),
        ("self_attn.q_proj", True),
        ("proj", False),
        ("model.layers.3.self_attn.q_proj", True),
        ("^model.layers.3.self_attn.q_proj", True),
        ("^layers.3.self_attn.q_proj", False),
        (r"layers\.\d\.self_attn\.(q|k)_proj", True),
        (r"layers\.[0-2]\.self_attn\.q_proj", False),
        (".*q_proj", True),
        ("v_proj", False),
    ],
)
def test_a_pattern_is_matched_against_the_end_of_a_name(pattern: str, chosen: bool, tmp_path: Path) -> None:
    config = config_with(tmp_path, rank_pattern={pattern: 2}, alpha_pattern={pattern: 3})
    assert config.module_rank(LAYER_3_Q) == (2 if chosen else 4)
    assert config.module_scale(LAYER_3_Q) == (3 / 2 if chosen else 8 / 4)


def test_the_first_pattern_that_matches_wins(tmp_path: Path) -> None:
    config = config_with(tmp_path, rank_pattern={"layers.3.self_attn.q_proj": 1, "q_proj": 2})
    assert config.module_rank(LAYER_3_Q) == 1
    assert config.module_rank("model.layers.4.self_attn.q_proj") == 2
    assert config.highest_rank == 4


def test_rslora_divides_by_the_root_of_the_modules_own_rank(tmp_path: Path) -> None:
    config = config_with(tmp_path, use_rslora=True, rank_pattern={"q_proj": 16})
    assert config.module_scale(LAYER_3_Q) == 8 / 4
    assert config.module_scale(LAYER_12_V) == 8 / 2


@pytest.mark.parametrize(
    ("options", "q", "v"),
    [
        ({"target_modules": ["q_proj", "v_proj"]}, True, True),
        ({"target_modules": ["proj"]}, False, False),
        ({"target_modules": r".*\.(q_proj|v_proj)"}, True, True),
        ({"target_modules": "q_proj"}, False, False),
        ({"target_modules": "(.*)*"}, False, False),
        ({"layers_to_transform": [3]}, True, False),
        ({"layers_to_transform": 12}, False, True),
        ({"exclude_modules": ["v_proj"]}, True, False),
        ({"exclude_modules": r".*\.3\..*"}, False, True),
    ],
)
def test_the_modules_that_peft_would_adapt_are_known(options: dict[str, Any], q: bool, v: bool, tmp_path: Path) -> None:
    config = config_with(tmp_path, **options)
    assert (config.targets(LAYER_3_Q), config.targets(LAYER_12_V)) == (q, v)


@settings(max_examples=300, deadline=None)
@given(pattern=st.text(alphabet="ale.\\d*+?|()[]^$-09", max_size=40))
def test_a_pattern_that_is_taken_is_matched_quickly(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern, prefix=r"(.*\.)?(", suffix=")$")
    except UnsafePattern:
        return
    assert isinstance(compiled, re.Pattern)

    def cost() -> float:
        started = time.thread_time()
        compiled.match("model.layers.11.self_attn.gate_up_down_projection_of_a_rather_long_name!")
        return time.thread_time() - started

    assert quickest(cost, enough=0.1) < 0.1
