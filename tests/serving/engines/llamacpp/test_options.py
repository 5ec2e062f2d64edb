"""Options reach llama.cpp, and KV caches stay within their memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from serving.engines.llamacpp.batch import Batch
from serving.engines.llamacpp.contexts import Context, context_params
from serving.engines.llamacpp.generation import Adapter, Generation
from serving.engines.llamacpp.memory import context_bytes, most_contexts
from serving.engines.llamacpp.model import Model, ModelUnreadable
from serving.engines.llamacpp.options import options_parse
from serving.engines.llamacpp.sampling import SamplingParams

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "llamacpp-host.md"


def options(*more: str) -> Any:
    return options_parse(["--model", "m.gguf", *more])


def test_options_of_contexts_are_passed_through() -> None:
    params = context_params(
        options(
            *("--threads", "3", "--threads-batch", "5", "--flash-attn", "on"),
            *("--cache-type-k", "q8_0", "--cache-type-v", "q4_0"),
            *(
                "--rope-scaling",
                "yarn",
                "--rope-freq-base",
                "5000",
                "--rope-freq-scale",
                "0.5",
                "--yarn-orig-ctx",
                "99",
            ),
        )
    )

    assert (params.n_threads, params.n_threads_batch, params.flash_attn_type) == (3, 5, 1)
    assert (params.type_k, params.type_v) == (8, 2)
    assert (params.rope_scaling_type, params.rope_freq_base, params.rope_freq_scale) == (2, 5000.0, 0.5)
    assert params.yarn_orig_ctx == 99


@pytest.mark.parametrize("more", [["--no-mmap"], ["--mlock"], ["--n-gpu-layers", "-1"], ["--split-mode", "none"]])
def test_options_of_the_model_are_accepted_by_llama_cpp(tiny_model: Path, more: list[str]) -> None:
    model = Model(options_parse(["--model", str(tiny_model), *more]))

    assert model.vocabulary_size == 262
    model.close()


@pytest.mark.parametrize("quantisation", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16"])
def test_files_of_every_quantisation_work(
    write_tiny_model: Callable[..., Path], tmp_path: Path, quantisation: str
) -> None:
    read = options_parse(["--model", str(write_tiny_model(tmp_path / "m.gguf", quantisation=quantisation))])
    model = Model(read)
    context = Context(model, read)
    context.bind(Adapter("base"))
    sequence = context.join(Generation(Adapter("base"), [1, 2, 3], SamplingParams(temperature=0), 1, None))

    batch = Batch(8)
    (step,) = context.fill(batch, [sequence], 8)
    context.compute(batch, threads=1, threads_batch=1)

    assert step.row is not None
    piece = sequence.sample(context.pointer, step.row)
    assert piece is not None
    assert piece.finish_reason in ("length", "stop")
    context.close()
    model.close()


def test_more_shares_than_devices_are_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelUnreadable, match="--tensor-split"):
        Model(options_parse(["--model", str(tiny_model), "--tensor-split", ",".join("1" * 500)]))


@pytest.mark.parametrize(
    "wrong",
    [
        *(["--flash-attn", "maybe"], ["--cache-type-k", "q2"], ["--tensor-split", "0,0"], ["--tensor-split", "-1"]),
        *(["--weight", "a=0"], ["--weight", "a"], ["--rope-scaling", "x"], ["--kv-memory-mib", "0"]),
        ["--flash-attn", "off", "--cache-type-v", "q8_0"],
    ],
)
def test_a_wrong_option_is_refused_with_a_message(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options(*wrong)

    assert ended.value.code == 2
    assert wrong[-2].lstrip("-").partition("=")[0] in capsys.readouterr().err


def test_the_size_of_a_context_is_what_llama_cpp_allocates(tiny_model: Path) -> None:
    # So large that it comes from the system: what fits 32 MiB may come from what an earlier context has freed.
    read = options_parse(["--model", str(tiny_model), "--ctx-size", "16384", "--parallel", "16", "--threads", "1"])
    model = Model(read)
    before = psutil.Process().memory_info().rss
    context = Context(model, read)

    taken = psutil.Process().memory_info().rss - before

    assert context_bytes(model, read) == 2 * 2 * 32 * 2 * 16384 * 16
    assert 1.0 <= taken / context_bytes(model, read) < 1.6
    context.close()
    model.close()


def test_contexts_fit_their_memory(tiny_model: Path) -> None:
    def most(*more: str) -> int:
        read = options_parse(["--model", str(tiny_model), "--ctx-size", "4096", "--parallel", "8", *more])
        model = Model(read)
        found = most_contexts(model, read)
        model.close()
        return found

    assert most("--kv-memory-mib", "33") == 4
    assert most("--kv-memory-mib", "33", "--max-contexts", "3") == 3
    assert most("--kv-memory-mib", "33", "--cache-type-k", "f32", "--cache-type-v", "f32") == 2
    assert most("--kv-memory-mib", "1") == 1
    assert most() == 32


def test_contexts_beyond_the_memory_change_hands(make_engine: Callable[..., Any], tiny_lora_files: list[Path]) -> None:
    engine = make_engine("--parallel", "2", "--max-contexts", "2")
    adapters = [engine.base, *map(engine.load, tiny_lora_files)]

    outputs = engine.submit(*(engine.generation(adapter, [1, 2, 3], 8) for adapter in adapters for _ in range(3)))

    assert all(output.text is not None for output in outputs)
    assert len(engine.pool.contexts) == 2


def test_every_option_is_documented() -> None:
    documented = DOCUMENT.read_text()
    negated = {one: one.replace("--", "--no-", 1) for one in ("--mmap", "--prefix-caching", "--q4-1-kernel")}

    for name in options().__dataclass_fields__:
        option = "--" + name.replace("_", "-")
        assert f"`{negated.get(option, option)}" in documented, f"{option} is not documented."
