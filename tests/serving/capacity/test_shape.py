"""The shapes of well-known models, against the numbers of parameters that their makers publish."""

from pathlib import Path
from typing import Any

import pytest

from demo_model import demo_model_path
from serving.capacity.gguf_file import shape_from_gguf
from serving.capacity.hugging_face import shape_from_config, shape_from_folder
from serving.capacity.shape import UnknownModel

# The config.json of each, as far as it bears on its size, and its parameters as its page on the hub counts them.
PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "Llama-3.1-8B": (
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
        8_030_261_248,
    ),
    "Mistral-7B-v0.1": (
        {
            "model_type": "mistral",
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "sliding_window": 4096,
            "vocab_size": 32000,
            "max_position_embeddings": 32768,
        },
        7_241_732_096,
    ),
    "Qwen2.5-0.5B": (
        {
            "model_type": "qwen2",
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
        },
        494_032_768,
    ),
    "Qwen3-8B": (
        {
            "model_type": "qwen3",
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "max_position_embeddings": 40960,
        },
        8_190_735_360,
    ),
    "gemma-2-2b": (
        {
            "model_type": "gemma2",
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "sliding_window": 4096,
            "vocab_size": 256000,
            "max_position_embeddings": 8192,
        },
        2_614_341_888,
    ),
    "gemma-3-1b": (
        {
            "model_type": "gemma3_text",
            "hidden_size": 1152,
            "intermediate_size": 6912,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "sliding_window": 512,
            "vocab_size": 262144,
            "max_position_embeddings": 32768,
        },
        999_885_952,
    ),
    "Phi-3-mini-4k": (
        {
            "model_type": "phi3",
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "sliding_window": 2047,
            "vocab_size": 32064,
            "max_position_embeddings": 4096,
        },
        3_821_079_552,
    ),
    "Mixtral-8x7B": (
        {
            "model_type": "mixtral",
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "num_local_experts": 8,
            "sliding_window": None,
            "vocab_size": 32000,
            "max_position_embeddings": 32768,
        },
        46_702_792_704,
    ),
    "Qwen3-30B-A3B": (
        {
            "model_type": "qwen3_moe",
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "moe_intermediate_size": 768,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "num_experts": 128,
            "vocab_size": 151936,
            "max_position_embeddings": 40960,
        },
        30_532_122_624,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_counted_as_their_makers_count_them(name: str) -> None:
    config, published = PUBLISHED[name]
    # Norms of heads and the like are left out: they are thousands among billions.
    assert shape_from_config(config).parameters == pytest.approx(published, rel=1e-4)


def test_sliding_windows_are_where_each_architecture_has_them() -> None:
    gemma2 = shape_from_config(PUBLISHED["gemma-2-2b"][0])
    assert gemma2.windows[:4] == (4096, None, 4096, None)
    gemma3 = shape_from_config(PUBLISHED["gemma-3-1b"][0])
    assert (gemma3.windows[:6], gemma3.windows.count(None)) == ((512,) * 5 + (None,), 4)
    assert shape_from_config(PUBLISHED["Mistral-7B-v0.1"][0]).windows == (4096,) * 32
    assert shape_from_config(PUBLISHED["Qwen2.5-0.5B"][0] | {"sliding_window": 32768}).windows == (None,) * 24


def test_layer_types_that_a_config_lists_go_before_the_rule() -> None:
    kinds = ["full_attention", "sliding_attention"] * 13
    assert shape_from_config(PUBLISHED["gemma-2-2b"][0] | {"layer_types": kinds}).windows[:2] == (None, 4096)


def test_the_text_part_of_a_model_that_also_sees_is_counted_and_the_rest_named() -> None:
    # As in gemma-3-4b-it's config.json, which leaves out what transformers has as defaults.
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    shape = shape_from_config({"model_type": "gemma3", "text_config": {**text, "sliding_window": 1024}})
    assert shape.parameters == pytest.approx(3_880_000_000, rel=0.01)
    assert "not counted" in shape.remarks[0]


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ([], "JSON object"),
        ({"model_type": "deepseek_v3"}, "does not know the model type 'deepseek_v3'"),
        (PUBLISHED["Qwen3-8B"][0] | {"hidden_size": "many"}, "hidden_size is 'many'"),
        (PUBLISHED["Qwen3-8B"][0] | {"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_the_reason(config: object, complaint: str) -> None:
    with pytest.raises(UnknownModel, match=complaint):
        shape_from_config(config)


def test_a_gguf_file_and_its_twin_have_one_shape() -> None:
    gguf = shape_from_gguf(demo_model_path())
    twin = shape_from_config(
        {
            "model_type": "llama",
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "tie_word_embeddings": True,
            "vocab_size": 49152,
            "max_position_embeddings": 8192,
        }
    )
    assert gguf.parameters == twin.parameters == 134_515_008
    assert (gguf.linear, gguf.modules, gguf.kv_values_per_token) == (twin.linear, twin.modules, 30 * 3 * 64 * 2)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnknownModel, match=r"cannot be read as a model's config.json"):
        shape_from_folder(tmp_path)
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(UnknownModel, match="cannot be read as a GGUF model"):
        shape_from_gguf(tmp_path / "x.gguf")
