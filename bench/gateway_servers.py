"""The servers that the benchmark compares, each in processes of its own, all in front of one mock engine."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
from gateway_load import Asked
from gateway_platform import ENGINE_MODEL, MODEL

REPOSITORY = Path(__file__).resolve().parent.parent
CHAT = "/v1/chat/completions"
OURS, ROUTER, LITELLM, DIRECT = "ours", "vllm-router", "litellm", "direct"
_RIVALS = {ROUTER: "vllm-router", LITELLM: "litellm[proxy]"}
_START_SECONDS = 120
_LITELLM_KEY = "sk-the-benchmark"
_LITELLM_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: "openai/{engine_model}", api_base: "http://{address}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


class Server:
    """A running server: what is asked of it, and what its processes have used."""

    def __init__(self, name: str, process: "subprocess.Popen[str] | subprocess.Popen[bytes]", asked: Asked) -> None:
        self.name = name
        self.asked = asked
        self._process = psutil.Process(process.pid)

    def cpu_seconds(self) -> float:
        """User and system time so far, of the process and its children."""
        times = [process.cpu_times() for process in self._family()]
        return sum(time.user + time.system for time in times)

    def memory(self) -> int:
        """Bytes resident now, of the process and its children."""
        return sum(int(process.memory_info().rss) for process in self._family())

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


@contextlib.contextmanager
def mock_engine() -> Iterator[Server]:
    """The engine itself, which is also what `direct` asks."""
    command = [sys.executable, str(REPOSITORY / "bench" / "mock_engine.py"), ENGINE_MODEL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise SystemExit("The mock engine says nothing.")
        address = process.stdout.readline().strip()
        try:
            yield Server(DIRECT, process, Asked(address, CHAT, "none", _body(ENGINE_MODEL)))
        finally:
            process.terminate()


@contextlib.contextmanager
def ours(folder: Path, secret: str) -> Iterator[Server]:
    """Polygraft's gateway, one process of it, as it runs in production."""
    port = _free_port()
    command = [
        *(sys.executable, "-m", "gunicorn", "polygraft.asgi:application", "--workers", "1"),
        *("--worker-class", "asgi", "--config", "python:serving.gateway.gunicorn_hooks"),
        *("--bind", f"127.0.0.1:{port}", "--no-control-socket"),
    ]
    metrics = folder / "metrics"
    metrics.mkdir()
    environment = {
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'platform'}",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }
    asked = Asked(f"127.0.0.1:{port}", CHAT, secret, _body(MODEL))
    with _started(OURS, command, asked, folder, environment) as server:
        yield server


@contextlib.contextmanager
def vllm_router(folder: Path, engine: str) -> Iterator[Server]:
    """vLLM's own router, in Rust, in front of an engine at this address."""
    port = _free_port()
    command = [
        *(str(_rival_binary(ROUTER)), "--host", "127.0.0.1", "--port", str(port), "--worker-urls", f"http://{engine}"),
        *("--policy", "round_robin", "--log-level", "error", "--prometheus-port", str(_free_port())),
    ]
    asked = Asked(f"127.0.0.1:{port}", CHAT, "none", _body(ENGINE_MODEL))
    with _started(ROUTER, command, asked, folder, {}) as server:
        yield server


@contextlib.contextmanager
def litellm(folder: Path, engine: str) -> Iterator[Server]:
    """LiteLLM's proxy with a master key and no database, in front of an engine at this address."""
    port = _free_port()
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(model=MODEL, engine_model=ENGINE_MODEL, address=engine, key=_LITELLM_KEY))
    command = [
        *(str(_rival_binary(LITELLM)), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
        *("--num_workers", "1"),
    ]
    asked = Asked(f"127.0.0.1:{port}", CHAT, _LITELLM_KEY, _body(MODEL))
    # Its list of prices would otherwise be fetched from the network.
    with _started(LITELLM, command, asked, folder, {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}) as server:
        yield server


def install_rivals(names: list[str]) -> None:
    """Install what is missing of these, each into a virtual environment of its own."""
    for name in names:
        if name in _RIVALS and not _rival_binary(name).exists():
            folder = _rival_binary(name).parent.parent
            print(f"Installing {_RIVALS[name]} into {folder}.", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", _RIVALS[name]], check=True)


def rival_version(name: str) -> str:
    """The version of a rival that is installed."""
    pip = [str(_rival_binary(name).parent / "pip"), "show", name]
    shown = subprocess.run(pip, check=True, capture_output=True, text=True).stdout
    return shown.partition("Version: ")[2].partition("\n")[0]


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, or end the program."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.1)
    raise SystemExit(f"{what}: not within {_START_SECONDS} s.")


def answers(asked: Asked) -> bool:
    """Whether a server answers what is asked of it."""
    headers = {"authorization": f"Bearer {asked.secret}"}
    url = f"http://{asked.address}{asked.path}"
    with contextlib.suppress(httpx.TransportError):
        return httpx.post(url, json=asked.body, headers=headers, trust_env=False, timeout=20).status_code == 200
    return False


def _body(model: str) -> dict[str, object]:
    messages = [{"role": "user", "content": "where is my parcel? " * 20}]
    return {"model": model, "messages": messages, "max_tokens": 8}


def _rival_binary(name: str) -> Path:
    return REPOSITORY / ".venv" / f"bench-{name}" / "bin" / name


@contextlib.contextmanager
def _started(
    name: str, command: list[str], asked: Asked, folder: Path, environment: dict[str, str]
) -> Iterator[Server]:
    path = folder / f"{name}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY, env={**os.environ, **environment})
    try:
        host, port = asked.address.split(":")

        def listens() -> bool:
            if process.poll() is not None:
                raise SystemExit(f"{name} ended at its start:\n{path.read_text()[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                return True
            return False

        wait_until(listens, f"{name} listens")
        yield Server(name, process, asked)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
