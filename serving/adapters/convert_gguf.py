"""Turns a validated PEFT adapter into a GGUF adapter that llama.cpp loads.

llama.cpp scales B·A by alpha/rank with one alpha for the whole file, and takes the rank from the tensor. PEFT knows a
rank, an alpha and, with rsLoRA, another formula for every module: where they differ from the one alpha of the file,
the factor is multiplied into B.

Tensors are written in float32: float16 weights would make llama.cpp round the activations to float16 as well, and
bfloat16 weights can be too large for it.
"""

import os
import tempfile
from collections import Counter
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from serving.adapters.examination.architectures import ARCHITECTURES
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.lora_config import LoraConfig
from serving.adapters.examination.peft_config import read_config
from serving.adapters.examination.report import Report
from serving.adapters.reading.limits import Limits
from serving.adapters.reading.names import CONFIG, WEIGHTS
from serving.adapters.reading.safetensors_file import Tensor, read_header
from serving.adapters.reading.safetensors_values import load
from serving.adapters.reading.tensor_names import full_name, parse

Matrix = npt.NDArray[np.float32]


def convert(adapter_dir: Path, base: BaseSpec, destination: Path) -> None:
    """Write the GGUF adapter to `destination`, whole or not at all; the adapter must have passed `validate`."""
    report = Report()
    config = read_config(adapter_dir / CONFIG, Limits(max_rank=max(Limits().engine_ranks)), report)
    if config is None:
        raise ValueError(f"the adapter was not validated: {report.findings[0].message}")
    weights = adapter_dir / WEIGHTS
    tensors = read_header(weights, Limits().header_bytes)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".converting-") as scratch:
        written = Path(scratch) / destination.name
        _write(written, weights, tensors, config, base)
        with written.open("rb") as file:
            os.fsync(file.fileno())
        written.chmod(0o444)
        written.rename(destination)


def _write(destination: Path, weights: Path, tensors: dict[str, Tensor], config: LoraConfig, base: BaseSpec) -> None:
    modules = [module for module in base.linear_modules if full_name(module, "A") in tensors]
    # What alpha must be for alpha/rank to be PEFT's scale.
    alphas = {module: config.module_scale(module) * _rank(tensors, module) for module in modules}
    (alpha, _), *_ = Counter(alphas.values()).most_common(1)
    ordered = [tensors[full_name(module, side)] for module in modules for side in ("A", "B")]

    writer = gguf.GGUFWriter(destination, base.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[base.architecture.upper()], base.layers)
    for tensor in ordered:
        shape = tensor.shape
        writer.add_tensor_info(
            _gguf_tensor_name(names, tensor.name), shape, np.dtype(np.float32), 4 * shape[0] * shape[1]
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in ordered:
        writer.write_tensor_data(_engine_values(load(weights, tensor), tensor.name, alphas, alpha, base))
    writer.close()


def _engine_values(values: Matrix, name: str, alphas: dict[str, float], alpha: float, base: BaseSpec) -> Matrix:
    """Return a matrix as llama.cpp wants it: B scaled where its module's alpha differs, rows in llama.cpp's order."""
    module, side = _module_and_side(name)
    if side == "A":
        return values
    if alphas[module] != alpha:
        values = values * np.float32(alphas[module] / alpha)
    if not ARCHITECTURES[base.architecture].interleaved:
        return values
    if module.endswith(".q_proj"):
        return _interleaved(values, base.heads)
    if module.endswith(".k_proj"):
        return _interleaved(values, base.kv_heads)
    return values


def _interleaved(values: Matrix, heads: int) -> Matrix:
    """Reorder the rows of a query or key matrix for llama.cpp, which pairs neighbours in rotary embedding.

    Hugging Face pairs a head's first half with its second.
    """
    rows, columns = values.shape
    halves = values.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def _gguf_tensor_name(names: gguf.TensorNameMap, name: str) -> str:
    module, side = _module_and_side(name)
    return f"{names.get_name(module)}.weight.lora_{side.lower()}"


def _module_and_side(name: str) -> tuple[str, str]:
    parsed = parse(name)
    if parsed is None:
        raise ValueError(f"the adapter was not validated: {name}")
    return parsed.module, parsed.side


def _rank(tensors: dict[str, Tensor], module: str) -> int:
    return tensors[full_name(module, "A")].shape[0]
