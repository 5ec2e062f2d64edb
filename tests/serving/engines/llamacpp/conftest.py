"""A real host in a process of its own, once per session, and tiny LoRA files to load into it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest

import tiny_gguf
from demo_model import demo_model_path
from gguf_files import write_out
from plain_http import NO_CERTIFICATES
from serving.engines.llamacpp.errors import HostError
from serving.engines.llamacpp.generation import Adapter, Event, Failed, Generation, Piece
from serving.engines.llamacpp.metrics import Metrics
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.options import options_parse
from serving.engines.llamacpp.pool import ContextPool
from serving.engines.llamacpp.sampling import SamplingParams
from serving.engines.llamacpp.scheduler import Scheduler
from tiny_gguf import write_tiny_gguf

LAYERS, HIDDEN, KV_WIDTH, RANK = 30, 576, 192, 2


def _write_lora(path: Path, seed: int, *, hidden: int = HIDDEN, layers: int = LAYERS, kv_width: int = KV_WIDTH) -> Path:
    """A random LoRA on every layer's q and v, strong enough to change what the demo model says."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.5 * RANK)
    for layer in range(layers):
        for module, width in (("attn_q", hidden), ("attn_v", kv_width)):
            name = f"blk.{layer}.{module}.weight"
            a = random.normal(size=(RANK, hidden)) / np.sqrt(hidden)
            b = random.normal(size=(width, RANK))
            writer.add_tensor(f"{name}.lora_a", a.astype(np.float32))
            writer.add_tensor(f"{name}.lora_b", b.astype(np.float32))
    write_out(writer)
    return path


@dataclass
class RunningHost:
    """A host's process and its address."""

    process: subprocess.Popen[str]
    url: str

    def metric(self, name: str) -> float:
        """The value of one of its metrics."""
        text = httpx.get(f"{self.url}/metrics", verify=NO_CERTIFICATES).text
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


def _start(
    *options: str, model: Path | None = None, env: dict[str, str] | None = None, stderr: int | None = None
) -> RunningHost:
    """Starts a host on a free port and waits for its line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.engines.llamacpp", "--model", str(model or demo_model_path()),
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
    async with httpx.AsyncClient(base_url=host.url, timeout=60, verify=NO_CERTIFICATES) as made:
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


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model that computes in no time."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_embedding_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, as a model made for embeddings by the mean over an input's tokens."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny-embed.gguf", pooling=1)


@pytest.fixture
def write_tiny_model() -> Callable[..., Path]:
    """Writes further tiny models."""
    return write_tiny_gguf


@pytest.fixture(scope="session")
def tiny_lora_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four LoRA files for the tiny model."""
    folder = tmp_path_factory.mktemp("tiny-loras")
    kv_width = tiny_gguf.HIDDEN // tiny_gguf.HEADS * tiny_gguf.KV_HEADS
    return [
        _write_lora(folder / f"{seed}.gguf", seed, hidden=tiny_gguf.HIDDEN, layers=tiny_gguf.LAYERS, kv_width=kv_width)
        for seed in range(4)
    ]


class Output:
    """What came of a generation that an engine was given; the sink of it."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.error: HostError | None = None
        self.done = threading.Event()

    @property
    def text(self) -> str:
        """The text, once it is finished."""
        assert self.done.wait(60), "The generation did not finish."
        assert self.error is None, self.error
        return "".join(piece.text for piece in self.pieces)


class Engine:
    """The compute thread with its scheduler, in this process and without HTTP."""

    def __init__(self, model: Path, *options: str) -> None:
        self.options = options_parse(["--model", str(model), "--ctx-size", "256", "--threads", "1", *options])
        self.metrics = Metrics("tiny")
        self.scheduler = Scheduler(self.options, self.metrics, self._publish)
        self.model = Model(self.options)
        self.pool = ContextPool(self.model, self.options, self.scheduler.defer)
        self.base = Adapter("base")
        self.order: list[Generation] = []
        self._thread = threading.Thread(target=self.scheduler.run, args=(self.model, self.pool))
        self._thread.start()

    def call(self, job: Callable[[], Any]) -> Any:
        """Runs a job on the compute thread."""
        return self.scheduler.call(job).result(60)

    def load(self, path: Path) -> Adapter:
        """Loads an adapter."""
        return Adapter(path.stem, path, None, self.call(lambda: self.model.adapter_load(path)))

    def generation(self, adapter: Adapter, prompt: list[int], max_tokens: int = 4, **more: Any) -> Generation:
        """A greedy generation, not submitted yet."""
        return Generation(adapter, prompt, SamplingParams(temperature=0), max_tokens, Output(), **more)

    def submit(self, *generations: Generation) -> list[Output]:
        """Submits generations at once, so that they are admitted at the same step."""
        self.scheduler.submit(list(generations))
        return [generation.sink for generation in generations]

    def say(self, adapter: Adapter, prompt: list[int], max_tokens: int = 4, **more: Any) -> str:
        """A generation's text."""
        return self.submit(self.generation(adapter, prompt, max_tokens, **more))[0].text

    def close(self) -> None:
        """Ends the thread and frees everything."""
        self.scheduler.stop()
        self._thread.join(60)
        self.pool.close()
        self.model.close()

    def _publish(self, events: list[tuple[Generation, Event]]) -> None:
        for generation, event in events:
            output = generation.sink
            if isinstance(event, Failed):
                output.error = event.error
            else:
                output.pieces.append(event)
            if isinstance(event, Failed) or event.finish_reason is not None:
                self.order.append(generation)
                output.done.set()


@pytest.fixture
def make_engine(tiny_model: Path) -> Iterator[Callable[..., Engine]]:
    """Engines over the tiny model that end with the test."""
    made: list[Engine] = []

    def make(*options: str) -> Engine:
        made.append(Engine(tiny_model, *options))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def small_host_url(start_host: Callable[..., RunningHost]) -> str:
    """A host with one place and room for one to wait."""
    return start_host("--ctx-size", "512", "--parallel", "1", "--max-contexts", "1", "--max-queue", "1").url


@pytest.fixture
def write_lora() -> Callable[..., Path]:
    """Writes further LoRA files."""
    return _write_lora
