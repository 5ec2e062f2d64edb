"""A real host in a process of its own, once per session, and tiny LoRA files to load into it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest

from demo_model import demo_model_path

LAYERS, HIDDEN, KV_WIDTH, RANK = 30, 576, 192, 2


def _write_lora(path: Path, seed: int, *, hidden: int = HIDDEN) -> Path:
    """A random LoRA on every layer's q and v, strong enough to change what the demo model says."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.5 * RANK)
    for layer in range(LAYERS):
        for module, width in (("attn_q", hidden), ("attn_v", KV_WIDTH)):
            name = f"blk.{layer}.{module}.weight"
            a = random.normal(size=(RANK, hidden)) / np.sqrt(hidden)
            b = random.normal(size=(width, RANK))
            writer.add_tensor(f"{name}.lora_a", a.astype(np.float32))
            writer.add_tensor(f"{name}.lora_b", b.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@dataclass
class RunningHost:
    """A host's process and its address."""

    process: subprocess.Popen[str]
    url: str

    def metric(self, name: str) -> float:
        """The value of one of its metrics."""
        text = httpx.get(f"{self.url}/metrics").text
        found = re.search(rf"^vllm:{name}{{.*}} (\S+)$", text, re.MULTILINE)
        assert found, f"No metric {name}"
        return float(found[1])

    def stop(self) -> int:
        """Asks it to stop, if it runs; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return status


def _start(*options: str, env: dict[str, str] | None = None, stderr: int | None = None) -> RunningHost:
    """Starts a host on a free port and waits for its line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.engines.llamacpp", "--model", str(demo_model_path()),
         "--served-model-name", "base", "--port", "0", *options],
        env=os.environ | (env or {}), stdout=subprocess.PIPE, stderr=stderr, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Serving base at http://"), f"The host did not start: {line!r}"
    return RunningHost(process, line.split()[-1])


@pytest.fixture(scope="session")
def lora_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of adapters, by the name that the session's host knows them by."""
    folder = tmp_path_factory.mktemp("loras")
    return {name: _write_lora(folder / f"{name}.gguf", seed) for seed, name in enumerate(("red", "blue", "green"))}


@pytest.fixture(scope="session")
def host(lora_files: dict[str, Path]) -> Iterator[RunningHost]:
    """A host with the adapters red, blue and green; two of the four may generate at once."""
    preloaded = [part for name, path in lora_files.items() for part in ("--lora", f"{name}={path}")]
    running = _start("--ctx-size", "512", "--parallel", "4", "--max-contexts", "2", "--batch-size", "64", *preloaded)
    yield running
    assert running.stop() == 0


@pytest.fixture
async def client(host: RunningHost) -> AsyncIterator[httpx.AsyncClient]:
    """Talks to the session's host."""
    async with httpx.AsyncClient(base_url=host.url, timeout=60) as made:
        yield made


@pytest.fixture
def complete(client: httpx.AsyncClient) -> Callable[..., Any]:
    """Greedy text of a model for a prompt."""

    async def complete(model: str, prompt: str, max_tokens: int = 16, **more: Any) -> str:
        body = {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0} | more
        response = await client.post("/v1/completions", json=body)
        assert response.status_code == 200, response.text
        return str(response.json()["choices"][0]["text"])

    return complete


async def _stream_events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each server-sent event; asserts that the stream ends with [DONE]."""
    last = ""
    async for line in response.aiter_lines():
        if not line:
            continue
        assert line.startswith("data: ")
        last = line.removeprefix("data: ")
        if last != "[DONE]":
            yield json.loads(last)
    assert last == "[DONE]"


@pytest.fixture
def events_of(client: httpx.AsyncClient) -> Callable[..., Any]:
    """All events of a streamed request."""

    async def events_of(path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        async with client.stream("POST", path, json=body | {"stream": True}) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            return [event async for event in _stream_events(response)]

    return events_of


@pytest.fixture
def start_host() -> Iterator[Callable[..., RunningHost]]:
    """Starts hosts that end with the test."""
    started: list[RunningHost] = []

    def start(*options: str, **more: Any) -> RunningHost:
        started.append(_start(*options, **more))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def small_host_url(start_host: Callable[..., RunningHost]) -> str:
    """A host with one place and room for one to wait."""
    return start_host("--ctx-size", "512", "--parallel", "1", "--max-queue", "1").url


@pytest.fixture
def write_lora() -> Callable[..., Path]:
    """Writes further LoRA files."""
    return _write_lora
