"""A base model's shapes are read from its GGUF file or its config.json, or it is refused by name."""

import json
import time
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter_factory import LAYERS, MODULES, SMOLLM2_GGUF
from deadline import quickest
from serving.adapters.examination.base_spec import BaseSpec, UnsupportedBase

SMOLLM2_CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
}


def hf_folder(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(SMOLLM2_CONFIG | changes))
    return folder


def gguf_file(path: Path, architecture: str = "llama", **changes: int | str) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    sizes = {
        "block_count": 2,
        "embedding_length": 64,
        "feed_forward_length": 128,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "vocab_size": 100,
    }
    for key, value in (sizes | changes).items():
        name = key if key.startswith("general.") else f"{architecture}.{key}"
        (writer.add_string if isinstance(value, str) else writer.add_uint32)(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path


def test_the_demo_base_model_has_the_modules_that_it_has(base: BaseSpec) -> None:
    assert base.linear_modules == {
        f"model.layers.{layer}.{module}": shape for layer in range(LAYERS) for module, shape in MODULES.items()
    }
    assert (base.name, base.vocab, base.head_dim) == ("SmolLM2-135M-Instruct", 49152, 64)


def test_a_base_model_with_a_large_vocabulary_is_read_in_no_time() -> None:
    def cost() -> float:
        started = time.thread_time()
        BaseSpec.from_gguf(SMOLLM2_GGUF)
        return time.thread_time() - started

    assert quickest(cost, enough=0.5) < 0.5


def test_gguf_and_hugging_face_agree(base: BaseSpec, tmp_path: Path) -> None:
    hugging_face = BaseSpec.from_hf(hf_folder(tmp_path / "SmolLM2-135M-Instruct"))
    assert hugging_face.linear_modules == base.linear_modules
    assert (hugging_face.name, hugging_face.heads, hugging_face.kv_heads) == (base.name, base.heads, base.kv_heads)


def test_a_heads_size_of_its_own_is_respected(tmp_path: Path) -> None:
    for spec in (
        BaseSpec.from_hf(hf_folder(tmp_path / "hf", head_dim=128)),
        BaseSpec.from_gguf(gguf_file(tmp_path / "x.gguf", **{"attention.key_length": 128})),
    ):
        assert spec.linear_modules["model.layers.0.self_attn.q_proj"] == (spec.hidden, spec.heads * 128)


def test_without_groups_every_head_has_its_own_keys(tmp_path: Path) -> None:
    assert BaseSpec.from_hf(hf_folder(tmp_path / "hf", num_key_value_heads=None)).kv_heads == 9


def test_mistral_is_a_llama(tmp_path: Path) -> None:
    assert BaseSpec.from_hf(hf_folder(tmp_path / "hf", model_type="mistral")).architecture == "llama"


@pytest.mark.parametrize("model_type", ["gpt2", "falcon", None])
def test_another_architecture_is_refused_by_name(model_type: str | None, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedBase, match=f"{model_type}.*supported for: llama, mistral, qwen2"):
        BaseSpec.from_hf(hf_folder(tmp_path / "hf", model_type=model_type))
    with pytest.raises(UnsupportedBase, match=f"{model_type}.*supported for: llama, qwen2"):
        BaseSpec.from_gguf(gguf_file(tmp_path / "x.gguf", architecture=str(model_type)))


def test_an_adapter_in_gguf_is_no_base_model(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedBase, match="adapter"):
        BaseSpec.from_gguf(gguf_file(tmp_path / "x.gguf", **{"general.type": "adapter"}))


def test_a_mixture_of_experts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedBase, match="mixture of experts"):
        BaseSpec.from_gguf(gguf_file(tmp_path / "x.gguf", expert_count=8))


@pytest.mark.parametrize("value", [0, -1, "many", None, 2.5, True])
def test_a_size_that_makes_no_sense_is_named(value: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedBase, match="hidden_size"):
        BaseSpec.from_hf(hf_folder(tmp_path / "hf", hidden_size=value))


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[")
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UnsupportedBase, match="cannot be read"):
            BaseSpec.from_hf(path)
    with pytest.raises(UnsupportedBase, match="cannot be read"):
        BaseSpec.from_gguf(tmp_path / "config.json")
    with pytest.raises(UnsupportedBase, match="cannot be read"):
        BaseSpec.from_gguf(tmp_path / "nothing.gguf")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(4, 300), damage=st.binary(min_size=1, max_size=8), length=st.integers(5, 500))
def test_a_damaged_gguf_file_is_refused_or_read(place: int, damage: bytes, length: int, tmp_path: Path) -> None:
    content = gguf_file(tmp_path / "sound.gguf").read_bytes()
    (tmp_path / "x.gguf").write_bytes((content[:place] + damage + content[place + len(damage) :])[:length])
    try:
        spec = BaseSpec.from_gguf(tmp_path / "x.gguf")
    except UnsupportedBase:
        return
    assert spec.hidden > 0
