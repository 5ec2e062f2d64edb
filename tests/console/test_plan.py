"""The planner's page in the console."""

from typing import Any

import pytest

from cast import Cast

PLAN = {"context": 4096, "concurrency": 2, "adapters": 2, "active": 1, "rank": 8, "kv_bits": 16}
CONFIG = """{"model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
"max_position_embeddings": 40960}"""


def test_the_planner_reckons_for_a_base_model(cast: Cast, sign_in) -> None:
    html = sign_in("audrey").post("/engines/plan/", {**PLAN, "base_model": "smollm2"}).content.decode()
    assert "Choose llama.cpp" in html
    assert "0.13 billion values, GGUF, as its files are" in html
    assert "--ctx-size 4096" in html


def test_the_planner_says_when_files_for_its_choice_are_missing(cast: Cast, sign_in) -> None:
    body = {**PLAN, "base_model": "smollm2", "concurrency": 64}
    html = sign_in("ada").post("/engines/plan/", body).content.decode()
    assert "Choose vLLM" in html
    assert "smollm2 has no Hugging Face folder yet" in html


def test_the_planner_reckons_for_a_pasted_config(sign_in) -> None:
    html = sign_in("ada").post("/engines/plan/", {**PLAN, "config": CONFIG, "gpu": "L4 24 GB"}).content.decode()
    assert "8.19 billion values, bf16" in html
    assert "1 × H100" not in html
    assert "H100 80 GB" in html


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "Choose a base model above, or paste"),
        ({"config": "{"}, "This is no JSON"),
        ({"config": '{"model_type": "mamba"}'}, "does not know the model type"),
        ({"base_model": "smollm2", "context": 9000}, "8192 tokens of context at most"),
        ({"base_model": "smollm2", "engine_kind": "llamacpp", "quantisation": "awq"}, "cannot run awq"),
    ],
)
def test_the_planner_says_what_it_cannot_plan(cast: Cast, sign_in, fields: dict[str, Any], complaint: str) -> None:
    response = sign_in("ada").post("/engines/plan/", {**PLAN, **fields})
    assert response.status_code == 422
    assert complaint in response.content.decode().replace("&#x27;", "'")
