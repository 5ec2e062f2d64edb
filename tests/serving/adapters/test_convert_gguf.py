"""A GGUF adapter holds, for llama.cpp's way of scaling and ordering, the same update that PEFT would apply."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from adapter_factory import MODULES, SmallAdapter, small_adapter, tensor_name
from serving.adapters.convert_gguf import convert
from serving.adapters.examination.base_spec import BaseSpec

GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
HEADS = {"self_attn.q_proj": 9, "self_attn.k_proj": 3}
Convert = Callable[[SmallAdapter], gguf.GGUFReader]


@pytest.fixture
def converted(base: BaseSpec, tmp_path: Path) -> Convert:
    def read_back(adapter: SmallAdapter) -> gguf.GGUFReader:
        convert(adapter.write(tmp_path / "adapter"), base, tmp_path / "out.gguf")
        return gguf.GGUFReader(tmp_path / "out.gguf")

    return read_back


def update_in_llama_cpp(reader: gguf.GGUFReader, module: str, layer: int) -> np.ndarray:
    """What llama.cpp adds to a weight (out, in), its rows put back into Hugging Face's order."""
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    name = f"blk.{layer}.{GGUF_NAMES[module]}.weight"
    a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
    update = reader.get_field("adapter.lora.alpha").contents() / b.shape[1] * (b @ a)
    if module in HEADS:
        heads, rows = HEADS[module], update.shape[0]
        size = rows // heads
        # llama.cpp's row 2i of a head is Hugging Face's row i, and 2i + 1 is i + size/2.
        order = [
            head * size + half * size // 2 + i for head in range(heads) for i in range(size // 2) for half in (0, 1)
        ]
        restored = np.empty_like(update)
        restored[order] = update
        return restored
    return update


def update_in_peft(adapter: SmallAdapter, module: str, layer: int, scale: float) -> np.ndarray:
    a, b = (adapter.tensors[tensor_name(module, side, layer)].astype(np.float16).astype(np.float32) for side in "AB")
    return scale * (b @ a)


def test_the_metadata_is_what_llama_cpp_asks_for(converted: Convert) -> None:
    reader = converted(small_adapter(alpha=8))
    values = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert values == {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }


@pytest.mark.parametrize("module", MODULES)
def test_every_kind_of_module_is_updated_as_in_peft(module: str, converted: Convert) -> None:
    adapter = small_adapter(rank=4, alpha=8, modules=[module])
    reader = converted(adapter)
    for layer in (0, 29):
        np.testing.assert_allclose(
            update_in_llama_cpp(reader, module, layer), update_in_peft(adapter, module, layer, 8 / 4), atol=1e-6
        )


@pytest.mark.parametrize(
    ("options", "q_scale", "v_scale"),
    [
        ({"use_rslora": True}, 8 / math.sqrt(4), 8 / math.sqrt(4)),
        ({"ranks": {"self_attn.q_proj": 2}}, 8 / 2, 8 / 4),
        ({"alpha_pattern": {"v_proj": 3}}, 8 / 4, 3 / 4),
        (
            {"use_rslora": True, "ranks": {"self_attn.q_proj": 9}, "alpha_pattern": {"self_attn.q_proj": 5}},
            5 / 3,
            8 / 2,
        ),
    ],
)
def test_scales_that_differ_by_module_have_the_same_effect_as_in_peft(
    options: dict[str, Any], q_scale: float, v_scale: float, converted: Convert
) -> None:
    adapter = small_adapter(rank=4, alpha=8, **options)
    reader = converted(adapter)
    for module, scale in (("self_attn.q_proj", q_scale), ("self_attn.v_proj", v_scale)):
        np.testing.assert_allclose(
            update_in_llama_cpp(reader, module, 3), update_in_peft(adapter, module, 3, scale), rtol=1e-5, atol=1e-6
        )


def test_the_largest_bfloat16_survives(converted: Convert) -> None:
    adapter = small_adapter(dtype="BF16", modules=["mlp.up_proj"])
    adapter.tensors[tensor_name("mlp.up_proj", "A")][0, 0] = 3e38
    tensors = {tensor.name: tensor.data for tensor in converted(adapter).tensors}
    assert tensors["blk.0.ffn_up.weight.lora_a"][0, 0] == pytest.approx(3e38, rel=0.01)


def test_the_same_adapter_always_becomes_the_same_bytes(base: BaseSpec, tmp_path: Path) -> None:
    adapter = small_adapter().write(tmp_path / "adapter")
    for name in ("one.gguf", "two.gguf"):
        convert(adapter, base, tmp_path / name)
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()


def test_a_conversion_that_fails_leaves_nothing_behind(base: BaseSpec, tmp_path: Path) -> None:
    adapter = small_adapter().write(tmp_path / "adapter")
    weights = adapter / "adapter_model.safetensors"
    adapter_bytes = weights.read_bytes()
    weights.write_bytes(adapter_bytes.replace(b"self_attn.v_proj.lora_B", b"self_attn.v_proj.lora_C"))
    with pytest.raises(KeyError):
        convert(adapter, base, tmp_path / "out" / "adapter.gguf")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_adapter_that_was_not_validated_is_refused(base: BaseSpec, tmp_path: Path) -> None:
    adapter = small_adapter(use_dora=True).write(tmp_path / "adapter")
    with pytest.raises(ValueError, match="not validated"):
        convert(adapter, base, tmp_path / "adapter.gguf")
