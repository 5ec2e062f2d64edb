"""Memory by part, against sums done by hand and against what the engines themselves report."""

import logging
import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from demo_model import demo_model_path
from serving.capacity.estimate import BadWish, Wish, estimate, weights
from serving.capacity.gguf_file import shape_from_gguf
from serving.capacity.gpus import NO_GPU
from serving.capacity.hugging_face import shape_from_config
from serving.capacity.parts import GIB, llamacpp_kv_bytes, vllm_kv_bytes, vllm_lora_slot_bytes
from serving.capacity.plan import Plan, plan
from serving.capacity.shape import Shape
from serving.engines.kinds import EngineKind
from serving.engines.llamacpp.contexts import Context
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.native import api
from serving.engines.llamacpp.options import options_parse
from serving.engines.options import option_problems

VLLM, LLAMACPP = EngineKind.VLLM, EngineKind.LLAMACPP
LLAMA_8B = shape_from_config(
    {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
    },
    name="llama-8b",
)
FEW = Wish(context=4096, concurrency=2, adapters=3, active=2)
MANY = Wish(context=8192, concurrency=32, adapters=40, active=16)


def part(shape: Shape, engine: EngineKind, wish: Wish, name: str) -> int:
    return next(part.bytes for part in estimate(shape, engine, wish).parts if part.name == name)


def planned(wish: Wish, **choices: object) -> Plan:
    return plan({VLLM: LLAMA_8B, LLAMACPP: LLAMA_8B}, wish, **choices)  # type: ignore[arg-type]  # by their names


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    options = options_parse(["--model", str(demo_model_path())])
    with closing(Model(options)) as model:
        yield model


def test_the_weights_of_a_gguf_file_are_what_llama_cpp_says_they_are(model: Model) -> None:
    _, size, is_exact = weights(shape_from_gguf(demo_model_path()), LLAMACPP, "")
    assert (size, is_exact) == (api.llama_model_size(model.pointer), True)


@pytest.mark.parametrize(("context", "parallel", "keys"), [(2048, 8, "f16"), (1000, 2, "f16"), (2048, 4, "q8_0")])
def test_the_kv_cache_is_within_a_hundredth_of_what_llama_cpp_logs(
    model: Model, caplog: pytest.LogCaptureFixture, context: int, parallel: int, keys: str
) -> None:
    arguments = ["--ctx-size", str(context), "--parallel", str(parallel), "--cache-type-k", keys]
    with caplog.at_level(logging.DEBUG, "llama.cpp"):
        Context(model, options_parse(["--model", "x.gguf", *arguments])).close()
    logged = re.search(r"llama_kv_cache: size = +([\d.]+) MiB", caplog.text)
    assert logged is not None
    shape = shape_from_gguf(demo_model_path())
    ours = llamacpp_kv_bytes(
        shape, context=context, parallel=parallel, contexts=1, key_bytes={"f16": 2, "q8_0": 34 / 32}[keys]
    )
    assert ours / 1024**2 == pytest.approx(float(logged[1]), rel=0.01)


def test_llama_cpps_working_memory_is_near_what_it_logs(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "llama.cpp"):
        Context(model, options_parse(["--model", "x.gguf", "--ctx-size", "2048"])).close()
    sizes = re.findall(r"(?:compute|output) buffer size = +([\d.]+) MiB", caplog.text)
    shape = shape_from_gguf(demo_model_path())
    one = part(shape, LLAMACPP, Wish(context=2048, concurrency=8), "working") - GIB // 2
    assert one / 1024**2 == pytest.approx(sum(map(float, sizes)), rel=0.1)


def test_a_token_of_llama_8b_takes_128_kib_of_kv_cache() -> None:
    assert vllm_kv_bytes(LLAMA_8B, context=16, concurrency=1) == 16 * 128 * 1024
    # Whole pages; and on four GPUs each holds two of the eight heads, on sixteen still one.
    assert vllm_kv_bytes(LLAMA_8B, context=17, concurrency=3) == 32 * 3 * 128 * 1024
    assert vllm_kv_bytes(LLAMA_8B, context=16, concurrency=1, gpus=4) == 16 * 32 * 1024
    assert vllm_kv_bytes(LLAMA_8B, context=16, concurrency=1, gpus=16) == 16 * 16 * 1024


def test_layers_that_slide_keep_only_their_window_in_vllm() -> None:
    gemma = shape_from_config(
        {
            "model_type": "gemma3_text",
            "hidden_size": 1152,
            "intermediate_size": 6912,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "sliding_window": 512,
            "max_position_embeddings": 131072,
        }
    )
    per_token_and_layer = 2 * 256 * 2
    full = 4 * 131072
    sliding = 22 * (512 - 1 + 8192 + 16 + 1)
    assert vllm_kv_bytes(gemma, context=131072, concurrency=1) == pytest.approx(
        (full + sliding) * per_token_and_layer, rel=0.001
    )


def test_a_lora_slot_holds_every_module_at_full_rank() -> None:
    per_layer = 16 * ((4096 + 4096) * 2 + (4096 + 1024) * 2 + (4096 + 14336) * 3)
    ends = 16 * 2 * (128256 + 4096)
    assert vllm_lora_slot_bytes(LLAMA_8B, rank=16) == 2 * (32 * per_layer + ends)
    # vLLM knows few ranks, and reserves the next larger one.
    assert vllm_lora_slot_bytes(LLAMA_8B, rank=9) == vllm_lora_slot_bytes(LLAMA_8B, rank=16)
    assert vllm_lora_slot_bytes(LLAMA_8B, rank=17) == 2 * vllm_lora_slot_bytes(LLAMA_8B, rank=16)


def test_quantised_weights_are_as_large_as_such_files_are() -> None:
    # Sizes of the files that are published for Llama 3.1 8B Instruct.
    for quantisation, size in {"q4_k_m": 4.92e9, "q8_0": 8.54e9}.items():
        assert weights(LLAMA_8B, LLAMACPP, quantisation)[1] == pytest.approx(size, rel=0.01)
    for quantisation, size in {"awq": 5.74e9, "fp8": 9.08e9, "bf16": 16.06e9}.items():
        assert weights(LLAMA_8B, VLLM, quantisation)[1] == pytest.approx(size, rel=0.01)


def test_it_says_what_fits_which_gpu() -> None:
    fits = {fit.gpu: fit.count for fit in estimate(LLAMA_8B, VLLM, FEW).fits}
    assert (fits["L4 24 GB"], fits["H100 80 GB"]) == (1, 1)
    assert fits["T4 16 GB"] == 2
    small = {fit.gpu: fit.count for fit in estimate(LLAMA_8B, LLAMACPP, FEW).fits}
    assert small["RTX 3060 12 GB"] == 1


def test_a_named_gpu_says_how_many_share_the_model_and_what_each_holds() -> None:
    two = estimate(LLAMA_8B, VLLM, FEW, "T4 16 GB")
    assert (two.gpus, two.options["tensor_parallel_size"]) == (2, 2)
    assert two.parts[0].bytes == pytest.approx(16.06e9 / 2, rel=0.01)
    assert estimate(LLAMA_8B, LLAMACPP, FEW, "T4 16 GB").options["n_gpu_layers"] == -1
    assert "n_gpu_layers" not in estimate(LLAMA_8B, LLAMACPP, FEW, NO_GPU).options


def test_the_flags_are_options_that_a_deployment_takes() -> None:
    for engine in EngineKind:
        for wish in (FEW, MANY, Wish(context=1000, concurrency=1)):
            assert option_problems(engine, estimate(LLAMA_8B, engine, wish).options) == []
    assert "--max-loras 16" in estimate(LLAMA_8B, VLLM, MANY).flags


def test_the_options_of_llama_cpp_give_the_wished_requests_their_room() -> None:
    options = estimate(LLAMA_8B, LLAMACPP, MANY).options
    assert options["parallel"] * options["max_contexts"] >= MANY.concurrency
    assert options["kv_memory_mib"] * 1024**2 >= part(LLAMA_8B, LLAMACPP, MANY, "kv_cache")


def test_many_at_once_are_for_vllm_and_few_for_llama_cpp() -> None:
    many, few = planned(MANY), planned(FEW)
    assert (many.choice, few.choice) == (VLLM, LLAMACPP)
    assert "one batch" in many.reasons[0]
    assert "promoted" in few.reasons[0]


def test_the_machine_decides_before_the_traffic_does() -> None:
    assert planned(MANY, gpu=NO_GPU).choice == LLAMACPP
    cramped = planned(Wish(context=4096, concurrency=8), gpu="RTX 3060 12 GB")
    assert cramped.choice == LLAMACPP
    assert "does not fit on one RTX 3060" in cramped.reasons[0]


def test_who_asks_for_an_engine_gets_it() -> None:
    assert planned(MANY, engine=LLAMACPP).choice == LLAMACPP


def test_a_quantisation_that_only_one_engine_reads_decides() -> None:
    only = planned(Wish(context=2048, concurrency=2, quantisation="awq"))
    assert (only.choice, list(only.refused)) == (VLLM, [LLAMACPP])


@pytest.mark.parametrize(
    ("wish", "choices", "field"),
    [
        (Wish(context=2048, concurrency=1, quantisation="q9"), {}, "quantisation"),
        (Wish(context=2048, concurrency=1, quantisation="awq"), {"engine": LLAMACPP}, "quantisation"),
        (Wish(context=200_000, concurrency=1), {}, "context"),
        (FEW, {"gpu": "H1000"}, "gpu"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_with_its_field(wish: Wish, choices: dict[str, object], field: str) -> None:
    with pytest.raises(BadWish) as caught:
        planned(wish, **choices)
    assert caught.value.field == field
