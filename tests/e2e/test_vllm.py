"""Real vLLM beside llama.cpp: two departments' adapters in one engine, and whatever may happen to it meanwhile."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from safetensors.numpy import load_file, save_file

from deadline import wait_until
from long_stream import LongStream
from processes import lives, session
from running_platform import ROOT, VLLM_MODEL, skip_without_vllm
from running_services import Services
from serving.engines.remains import ENGINE_VARIABLE

# In the order of this file, since each start of vLLM takes most of a minute: the last test leaves no engine behind.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

BASE = "smollm2-vllm"
VOICES = {"support": "Thanks for reaching out", "legal": "Pursuant to your inquiry"}
VOICE_TOKENS = 16  # a voice is told by how its answers begin
DEMO = {"support": "support-bot", "legal": "contracts"}
QUESTIONS = ["How do I reset my password?", "Where is my order?", "May I end the lease early?", "Who signs this?"]
START_SECONDS = 600
SHARED_MEMORY = "/dev/shm/psm_"  # noqa: S108  # looked at, not written


@pytest.fixture(scope="module")
def platform(services: Services) -> Iterator[Services]:
    """A vLLM engine with an adapter `voice` for each department; ended afterwards, since it needs much memory."""
    skip_without_vllm()
    services.api("POST", "base-models", json={"name": BASE, "source": "smollm2-135m", "hf_path": str(VLLM_MODEL)})
    options: dict[str, object] = {
        "max_model_len": 2048,
        "max_num_seqs": 16,
        "max_loras": 2,
        "max_cpu_loras": 2,
        "max_lora_rank": 8,
    }
    # Processors without instructions for bfloat16 reckon several requests more than twice as fast in float32.
    options |= {"enforce_eager": True, "dtype": "float32"}
    wished = {"base_model": BASE, "engine_kind": "vllm", "options": options}
    answer = services.api("POST", "deployments", json=wished)
    assert answer.status_code == 201, answer.text
    for department, adapter in DEMO.items():
        upload(services, department, "voice", ROOT / "demo" / "adapters" / adapter)
        client = services.client(services.key(department))
        wait_until(lambda client=client: ask(client, "voice"), seconds=START_SECONDS, what=f"{department}'s voice")
    yield services
    services.scale(BASE, 0)


def upload(services: Services, department: str, name: str, folder: Path) -> None:
    answer = services.upload(department, name, folder, base_model=BASE)
    assert answer.status_code == 202, answer.text


def ask(client: openai.OpenAI, model: str, question: str = QUESTIONS[0]) -> str | None:
    try:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=VOICE_TOKENS
        )
    except (openai.InternalServerError, openai.NotFoundError):
        return None
    return answer.choices[0].message.content


def variant(folder: Path, alpha: int) -> Path:
    """The same adapter with other bytes."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": alpha}))
    return folder


def widened(folder: Path, rank: int) -> Path:
    """The same adapter in more dimensions than it needs."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    more = rank - config["r"]
    path.write_text(json.dumps(config | {"r": rank, "lora_alpha": config["lora_alpha"] * rank // config["r"]}))
    tensors = load_file(folder / "adapter_model.safetensors")
    for name, tensor in tensors.items():
        axis = 0 if "lora_A" in name else 1
        padding = [(0, more if dimension == axis else 0) for dimension in (0, 1)]
        tensors[name] = np.ascontiguousarray(np.pad(tensor, padding))
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


# Starts a vLLM engine as a worker does under `make run`, and waits to be killed.
STARTER = """
import sys, time
from pathlib import Path
from serving.engines.driver import EngineSpec
from serving.engines.drivers.vllm import VllmDriver
model, log = map(Path, sys.argv[1:])
options = {"max_model_len": 512, "max_num_seqs": 2, "max_loras": 1, "max_cpu_loras": 1, "max_lora_rank": 8}
spec = EngineSpec("e2e", "x", model, "127.0.0.1", log, tethered=True, options={**options, "enforce_eager": True})
print(VllmDriver().start(spec).pid, flush=True)
time.sleep(600)
"""


def test_nothing_of_a_tethered_engine_outlives_its_killed_worker(services: Services, tmp_path: Path) -> None:
    skip_without_vllm()
    log = tmp_path / "engine.log"
    worker = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(VLLM_MODEL), str(log)],
        env=services.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    engine = int(worker.stdout.readline())
    try:
        wait_until(lambda: "startup complete" in log.read_text(), seconds=START_SECONDS, what="it serves")
        assert len(nameless(session(engine))) >= 2  # EngineCore and a worker
        memory = shared_memory(session(engine))
        assert memory
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()
    wait_until(lambda: not session(engine), what="all its processes have ended")
    wait_until(lambda: not any(path.exists() for path in memory), what="its shared memory is gone")


def test_two_departments_mixed_in_one_engine_hear_their_own_voices(platform: Services) -> None:
    wishes = [(department, question) for question in QUESTIONS for department in DEMO]
    with ThreadPoolExecutor(len(wishes)) as pool:
        answers = pool.map(lambda wish: ask(platform.client(platform.key(wish[0])), "voice", wish[1]), wishes)
        for (department, _), answer in zip(wishes, answers, strict=True):
            assert VOICES[department] in (answer or "")


def test_the_answer_says_that_vllm_gave_it_and_nothing_of_its_inside(platform: Services) -> None:
    raw = platform.client(platform.key("support")).chat.completions.with_raw_response.create(
        model="voice", messages=[{"role": "user", "content": "Hello"}], max_tokens=5
    )
    assert raw.headers["x-polygraft-engine"] == "vllm"
    assert raw.headers["x-polygraft-model"] == "voice:1"
    assert "lora-" not in raw.text


def test_an_adapter_is_loaded_while_another_streams(platform: Services, adapter_folder: Callable[[str], Path]) -> None:
    client = platform.client(platform.key("legal"))
    stream = LongStream(client, "voice", tokens=200)
    upload(platform, "legal", "late", variant(adapter_folder("support-bot"), 15))
    late = wait_until(lambda: ask(client, "late"), seconds=60, what="the late adapter answers")
    assert VOICES["support"] in late
    stream.join()
    assert stream.is_whole()


def test_a_stream_goes_on_while_the_worker_is_killed_and_replaced(platform: Services) -> None:
    before, taken_over = platform.engine(BASE), platform.events("engine.taken_over")
    stream = LongStream(platform.client(platform.key("legal")), "voice", tokens=250)
    platform.end_worker(signal.SIGKILL)
    platform.start_worker()
    # The llama.cpp engine is taken over, too.
    wait_until(lambda: platform.events("engine.taken_over") >= taken_over + 2, seconds=60, what="both are taken over")
    stream.join()
    assert stream.is_whole()
    assert platform.engine(BASE)["pid"] == before["pid"]


def test_an_evicted_adapter_whose_files_have_left_the_store_answers_and_the_engine_lives(
    platform: Services, adapter_folder: Callable[[str], Path]
) -> None:
    before = platform.engine(BASE)
    client = platform.client(platform.key("legal"))
    upload(platform, "legal", "mortal", variant(adapter_folder("support-bot"), 14))
    wait_until(lambda: ask(client, "mortal"), seconds=60, what="the adapter answers")
    digest = platform.version("legal", "mortal")["digest"]
    for kind in ("content", "derived"):
        shutil.rmtree(platform.home / "store" / "adapters" / kind / digest)
    for department in DEMO:  # as many as vLLM has room for
        assert VOICES[department] in (ask(platform.client(platform.key(department)), "voice") or "")
    assert VOICES["support"] in (ask(client, "mortal") or "")
    assert platform.engine(BASE)["pid"] == before["pid"]
    platform.api("DELETE", "departments/legal/adapters/mortal")


def test_an_adapter_that_was_deleted_comes_back_with_the_same_bytes(
    platform: Services, adapter_folder: Callable[[str], Path]
) -> None:
    client = platform.client(platform.key("legal"))
    folder = variant(adapter_folder("support-bot"), 13)
    for _ in range(2):
        upload(platform, "legal", "phoenix", folder)
        answer = wait_until(lambda: ask(client, "phoenix"), seconds=60, what="the adapter answers")
        assert VOICES["support"] in answer
        platform.api("DELETE", "departments/legal/adapters/phoenix")
        wait_until(lambda: ask(client, "phoenix") is None, what="the deleted adapter is gone")


def test_a_rollout_under_load_fails_no_request(platform: Services, adapter_folder: Callable[[str], Path]) -> None:
    client = platform.client(platform.key("legal"))
    upload(platform, "legal", "moving", variant(adapter_folder("support-bot"), 12))
    wait_until(lambda: ask(client, "moving"), seconds=60, what="version 1 answers")
    answers: list[str | None] = []
    done = threading.Event()

    def go_on_asking() -> None:
        while not done.is_set():
            answers.append(ask(client, "moving"))

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(go_on_asking) for _ in range(4)]
        try:
            upload(platform, "legal", "moving", variant(adapter_folder("contracts"), 17))
            platform.wait_for_state("legal", "moving", "ready", number=2)
            before = len(answers)
            rollout = platform.api("PUT", "departments/legal/adapters/moving/rollout", json={"versions": {"2": 100}})
            assert rollout.status_code == 200, rollout.text
            wait_until(lambda: len(answers) >= before + 12, seconds=60, what="a dozen more have been answered")
        finally:
            done.set()
        for asker in askers:
            asker.result()
    assert all(VOICES["support"] in (answer or "") or VOICES["legal"] in (answer or "") for answer in answers)
    assert VOICES["support"] in (answers[0] or "")
    assert VOICES["legal"] in (answers[-1] or "")
    platform.api("DELETE", "departments/legal/adapters/moving")


def test_an_adapter_of_too_high_a_rank_is_rejected_in_clear_words_and_the_engine_lives(
    platform: Services, adapter_folder: Callable[[str], Path]
) -> None:
    before = platform.engine(BASE)
    upload(platform, "legal", "wide", widened(adapter_folder("contracts"), 16))
    version = platform.wait_for_state("legal", "wide", "rejected")
    assert "rank" in json.dumps(version["report"]["findings"][-1]).lower()
    assert ask(platform.client(platform.key("support")), "voice")
    assert platform.engine(BASE)["pid"] == before["pid"]
    platform.api("DELETE", "departments/legal/adapters/wide")


def test_a_killed_engine_ends_its_streams_and_costs_nobody_else_an_answer(platform: Services) -> None:
    platform.scale(BASE, 2)
    wait_until(lambda: len(ready(platform)) == 2, seconds=START_SECONDS, what="there are two engines")
    client = platform.client(platform.key("support"))
    stream = LongStream(client, "voice", tokens=1500)
    doomed = wait_until(lambda: busy(platform), what="an engine says that it is at it")
    old = session(doomed)
    assert len(nameless(old)) >= 2  # EngineCore and a worker
    memory = shared_memory(old)
    assert memory
    with ThreadPoolExecutor(4) as pool:
        unseen = [pool.submit(ask, client, "voice", question) for question in QUESTIONS]
        os.kill(doomed, signal.SIGKILL)
        for answer in unseen:
            assert VOICES["support"] in (answer.result() or "")
    stream.join()
    assert not stream.is_whole()
    assert isinstance(stream.error, openai.APIError)
    assert VOICES["support"] in (ask(client, "voice") or "")
    # Its EngineCore would go on without it, and keep its memory from its successor.
    wait_until(lambda: not session(doomed), what="nothing of it is left")
    wait_until(lambda: not any(path.exists() for path in memory), what="its shared memory is gone")
    assert not any(map(lives, old))


def nameless(pids: set[int]) -> set[int]:
    """Those that cannot be told by their environment to be an engine's."""
    return {pid for pid in pids if ENGINE_VARIABLE.encode() not in Path(f"/proc/{pid}/environ").read_bytes()}


def shared_memory(pids: set[int]) -> set[Path]:
    """The files in main memory that processes share."""
    maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids)
    return {Path(word) for word in maps.split() if word.startswith(SHARED_MEMORY)}


def ready(services: Services) -> list[dict[str, Any]]:
    engines = services.api("GET", "engines?state=ready").json()["results"]
    return [engine for engine in engines if engine["base_model"] == BASE]


def busy(services: Services) -> int | None:
    """The process of an engine that works on something."""
    return next((engine["pid"] for engine in ready(services) if engine["running"]), None)
