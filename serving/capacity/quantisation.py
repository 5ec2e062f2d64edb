"""How many bytes weights take in each format, and which engine can read it."""

from dataclasses import dataclass

from serving.capacity.shape import Shape
from serving.engines.kinds import EngineKind


@dataclass(frozen=True, slots=True)
class Quantisation:
    """A format of weights.

    `bits` are per value of the packed matrices. Where `all_of_it`, they are the mean over the whole file, as
    llama.cpp's formats are measured; elsewhere embeddings, head and norms stay at 16 bits.
    """

    name: str
    engines: frozenset[EngineKind]
    bits: float
    all_of_it: bool = True

    def weight_bytes(self, shape: Shape) -> int:
        """Bytes of a model's weights in this format."""
        if self.all_of_it:
            return round(shape.parameters * self.bits / 8)
        return round(shape.linear * self.bits / 8 + (shape.parameters - shape.linear) * 2)


_BOTH = frozenset(EngineKind)
_VLLM = frozenset({EngineKind.VLLM})
_LLAMACPP = frozenset({EngineKind.LLAMACPP})
# A scale and a zero point of 16 + 4 bits for each group of 128 values.
_GROUP_OF_128 = 20 / 128
# Bits per weight of Llama 3.1 8B as llama.cpp's own page of `llama-quantize` lists them.
_GGUF = {
    "q8_0": 8.50,
    "q6_k": 6.56,
    "q5_k_m": 5.70,
    "q5_k_s": 5.57,
    "q4_k_m": 4.89,
    "q4_k_s": 4.67,
    "q4_1": 5.13,
    "q4_0": 4.66,
    "iq4_xs": 4.46,
    "q3_k_m": 4.00,
    "q2_k": 3.16,
}

QUANTISATIONS = {
    quantisation.name: quantisation
    for quantisation in (
        Quantisation("bf16", _BOTH, 16),
        Quantisation("f16", _BOTH, 16),
        Quantisation("fp8", _VLLM, 8, all_of_it=False),
        Quantisation("int8", _VLLM, 8, all_of_it=False),
        Quantisation("awq", _VLLM, 4 + _GROUP_OF_128, all_of_it=False),
        Quantisation("gptq", _VLLM, 4 + _GROUP_OF_128, all_of_it=False),
        *(Quantisation(name, _LLAMACPP, bits) for name, bits in _GGUF.items()),
    )
}
# What each engine is planned with when nobody says otherwise.
DEFAULTS = {EngineKind.VLLM: "bf16", EngineKind.LLAMACPP: "q4_k_m"}
