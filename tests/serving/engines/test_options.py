"""A deployment's options: checked before they are kept, and understood by the engine that gets them."""

import pytest

from serving.engines.kinds import EngineKind
from serving.engines.llamacpp.options import options_parse
from serving.engines.options import OPTIONS, option_flags, option_problems

GOOD: dict[str, object] = {
    "ctx_size": 1024,
    "parallel": 4,
    "threads": 2,
    "max_queue": 10,
    "max_contexts": 3,
    "kv_memory_mib": 512,
    "n_gpu_layers": -1,
    "tensor_split": "3,1",
    "flash_attn": "on",
    "cache_type_k": "q8_0",
    "cache_type_v": "q8_0",
    "rope_scaling": "yarn",
    "rope_freq_base": "10000.5",
    "rope_freq_scale": "0.5",
    "no_mmap": True,
    "mlock": True,
}


def test_the_llamacpp_host_understands_every_option() -> None:
    assert GOOD.keys() == OPTIONS[EngineKind.LLAMACPP].keys()
    assert option_problems(EngineKind.LLAMACPP, GOOD) == []
    options_parse(["--model", __file__, *option_flags(EngineKind.LLAMACPP, GOOD)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ctx_size", 1),
        ("ctx_size", "1024"),
        ("ctx_size", True),
        ("tensor_split", "a,b"),
        ("tensor_split", "1; rm -rf /"),
        ("flash_attn", "maybe"),
        ("rope_freq_base", "1e999"),
        ("mlock", "yes"),
        ("host", "0.0.0.0"),
        ("max_loras", 2),
    ],
)
def test_a_value_that_the_engine_would_stumble_over_is_refused_by_name(name: str, value: object) -> None:
    problems = option_problems(EngineKind.LLAMACPP, {name: value})
    assert len(problems) == 1
    assert problems[0].startswith(f"{name} ")


def test_a_switch_that_is_off_says_nothing() -> None:
    assert option_flags(EngineKind.LLAMACPP, {"mlock": False, "threads": 2}) == ["--threads", "2"]


def test_a_parser_of_tool_calls_turns_tools_on() -> None:
    flags = option_flags(EngineKind.VLLM, {"tool_call_parser": "hermes"})
    assert flags == ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    assert option_problems(EngineKind.VLLM, {"tool_call_parser": "../x.py"})
