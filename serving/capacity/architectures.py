"""What the planner knows of each architecture, beyond what a model's own files say."""

from dataclasses import dataclass, field
from types import MappingProxyType

# (width of the window or None) of a layer, by the words in `layer_types`.
SLIDING = "sliding_attention"


@dataclass(frozen=True, slots=True)
class Architecture:
    """One family of models.

    `sliding` says which layers slide where a window is given: "none", "all", or a number n: every layer but each n-th.
    `defaults` are values that Hugging Face's files may leave out. `tied` is the default of `tie_word_embeddings`.
    `norms` are the vectors of the hidden width in one layer. `embeds_lora` as in `Shape`.
    """

    gguf: str
    sliding: str | int = "none"
    tied: bool = False
    norms: int = 2
    attention_bias: bool = False
    embeds_lora: bool = False
    moe: bool = False
    defaults: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))


_GEMMA3 = MappingProxyType(
    {
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "max_position_embeddings": 131072,
    }
)
_GEMMA2 = MappingProxyType({"head_dim": 256, "sliding_window": 4096})

# By `model_type` in Hugging Face's config.json.
ARCHITECTURES = {
    "llama": Architecture("llama", embeds_lora=True),
    "mistral": Architecture("llama", sliding="all", embeds_lora=True),
    "mixtral": Architecture("llama", sliding="all", embeds_lora=True, moe=True),
    "qwen2": Architecture("qwen2", attention_bias=True),
    "qwen3": Architecture("qwen3"),
    "qwen3_moe": Architecture("qwen3moe", moe=True),
    "gemma2": Architecture("gemma2", sliding=2, tied=True, norms=4, defaults=_GEMMA2),
    "gemma3_text": Architecture("gemma3", sliding=6, tied=True, norms=4, defaults=_GEMMA3),
    "phi3": Architecture("phi3", sliding="all"),
}


def windows(architecture: Architecture, layers: int, window: int | None) -> tuple[int | None, ...]:
    """The width of each layer's sliding attention."""
    match architecture.sliding:
        case int(step):
            return tuple(None if (layer + 1) % step == 0 else window for layer in range(layers))
        case "all":
            return (window,) * layers
        case _:
            return (None,) * layers
