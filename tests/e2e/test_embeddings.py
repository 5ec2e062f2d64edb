"""Models that write no text, end to end: embeddings, scores and rankings on vLLM, embeddings on llama.cpp."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from bert_gguf import write_bert_gguf
from deadline import wait_until
from plain_http import NO_CERTIFICATES
from running_platform import ROOT, VLLM_PYTHON, skip_without_vllm
from running_services import Services

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TEXTS = ["a lease ends", "the lease is over", "where is my parcel"]
START_SECONDS = 300


def deploy(services: Services, name: str, kind: str, options: dict[str, Any], **paths: str) -> openai.OpenAI:
    """A base model on an engine of this kind; a department's client once it answers."""
    answer = services.api("POST", "base-models", json={"name": name, "takes_adapters": False, **paths})
    assert answer.status_code == 201, answer.text
    wished = {"base_model": name, "engine_kind": kind, "options": options}
    answer = services.api("POST", "deployments", json=wished)
    assert answer.status_code == 201, answer.text
    client = services.client(services.key("support"))

    def answers() -> bool:
        try:
            return bool(client.embeddings.create(model=name, input="a"))
        except openai.InternalServerError:
            return False

    wait_until(answers, seconds=START_SECONDS, what=f"{name} answers")
    return client


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A BERT's folder, and the unit vectors that transformers has for the texts."""
    skip_without_vllm()
    folder = tmp_path_factory.mktemp("bert") / "tiny-bert"
    program = str(ROOT / "tests" / "tiny_bert.py")
    ran = subprocess.run([VLLM_PYTHON, program, folder, *TEXTS], capture_output=True, text=True, check=True)
    return folder, np.array(json.loads(ran.stdout))


@pytest.fixture(scope="module")
def on_vllm(services: Services, vectors: tuple[Path, np.ndarray]) -> Iterator[openai.OpenAI]:
    """A department's client of the BERT on vLLM."""
    options = {"max_model_len": 256, "max_num_seqs": 8, "dtype": "float32", "enforce_eager": True}
    yield deploy(services, "bert", "vllm", options, hf_path=str(vectors[0]))
    services.scale("bert", 0)


@pytest.fixture(scope="module")
def on_llamacpp(services: Services, vectors: tuple[Path, np.ndarray]) -> Iterator[openai.OpenAI]:
    """A department's client of the same BERT on llama.cpp."""
    model = write_bert_gguf(vectors[0], vectors[0].with_suffix(".gguf"))
    yield deploy(services, "bert-small", "llamacpp", {"ctx_size": 256}, gguf_path=str(model))
    services.scale("bert-small", 0)


def post(services: Services, path: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"authorization": f"Bearer {services.key('support')}"}
    return httpx.post(f"{services.url}{path}", json=body, headers=headers, timeout=60, verify=NO_CERTIFICATES)


@pytest.mark.parametrize("model", ["bert", "bert-small"])
def test_both_engines_embed_as_transformers_does(
    on_vllm: openai.OpenAI, on_llamacpp: openai.OpenAI, vectors: tuple[Path, np.ndarray], model: str
) -> None:
    answer = on_vllm.embeddings.create(model=model, input=TEXTS)
    embedded = np.array([entry.embedding for entry in answer.data])
    assert embedded == pytest.approx(vectors[1], abs=5e-3)
    assert (answer.model, answer.usage.prompt_tokens) == (model, sum(len(text.replace(" ", "")) + 2 for text in TEXTS))


def test_vllm_scores_and_ranks_by_what_the_vectors_say(
    services: Services, on_vllm: openai.OpenAI, vectors: tuple[Path, np.ndarray]
) -> None:
    likeness = vectors[1][1:] @ vectors[1][0]
    scored = post(services, "/v1/score", {"model": "bert", "text_1": TEXTS[0], "text_2": TEXTS[1:]}).json()
    assert [entry["score"] for entry in scored["data"]] == pytest.approx(likeness, abs=1e-3)
    ranked = post(services, "/v1/rerank", {"model": "bert", "query": TEXTS[0], "documents": TEXTS[1:]}).json()
    assert [entry["index"] for entry in ranked["results"]] == list(np.argsort(-likeness))
    assert {scored["model"], ranked["model"]} == {"bert"}


@pytest.mark.parametrize("model", ["bert", "bert-small"])
def test_a_model_that_writes_no_text_says_so(on_vllm: openai.OpenAI, on_llamacpp: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        on_vllm.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    assert refused.value.status_code == 400
    assert refused.value.body["param"] == "model"


def test_what_is_embedded_is_accounted_for(services: Services, on_vllm: openai.OpenAI) -> None:
    on_vllm.embeddings.create(model="bert", input=TEXTS[0])

    def counted() -> bool:
        rows = services.api("GET", "usage?group_by=model,status").json()["results"]
        return any(row["model"] == "bert" and row["status"] == 200 and row["prompt_tokens"] for row in rows)

    wait_until(counted, what="its tokens are in the sums")
