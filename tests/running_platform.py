"""Starts the whole platform as `make run` does, with its real parts, and speaks to it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from deadline import wait_until
from plain_http import NO_CERTIFICATES

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 300
VLLM_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
VLLM_MODEL = ROOT / ".venv-vllm" / "smollm2-135m-instruct"
# One thread for each engine, on whichever core is free: vLLM would bind every engine's to the same one.
VLLM_VARIABLES = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
# For what needs no server: of the three processes of an engine two only import vLLM once more.
VLLM_IN_ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


def skip_without_vllm() -> None:
    """Leave a test out where vLLM is not prepared; CI forbids that."""
    if not (VLLM_PYTHON.exists() and (VLLM_MODEL / "config.json").exists()):
        pytest.skip("vLLM is not prepared: make vllm-cpu")


def run_in_vllm(program: str, *arguments: str, home: Path, variables: dict[str, str] | None = None) -> str:
    """Run a program of this folder with vLLM's Python, on the demo's base model; what it wrote on standard output."""
    skip_without_vllm()
    ran = subprocess.run(
        [str(VLLM_PYTHON), str(ROOT / "tests" / program), str(VLLM_MODEL), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "HF_HUB_OFFLINE": "1",
            **VLLM_VARIABLES,
            **(variables or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


@dataclass
class Platform:
    """A running platform and what its demo.json says."""

    home: Path
    url: str
    demo: dict[str, Any]
    process: "subprocess.Popen[str]"
    output: list[str] = field(default_factory=list)
    clients: dict[str, openai.OpenAI] = field(default_factory=dict)
    reader: threading.Thread = field(default_factory=threading.Thread)

    @property
    def base_model(self) -> str:
        return str(self.demo["base_model"])

    def key(self, department: str) -> str:
        return str(self.demo["departments"][department]["api_key"])

    def client(self, key: str) -> openai.OpenAI:
        """The official client, without retries, so that every answer is seen."""
        if key not in self.clients:
            self.clients[key] = openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60)
        return self.clients[key]

    def api(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        """Call the management API as the admin."""
        return httpx.request(
            method,
            f"{self.url}/api/v1/{path}",
            headers={"Authorization": f"Bearer {self.demo['admin_token']}"} | (headers or {}),
            timeout=60,
            verify=NO_CERTIFICATES,
            **options,
        )

    def upload(self, department: str, name: str, folder: Path, base_model: str = "") -> httpx.Response:
        """Upload a PEFT folder as it lies on disk."""
        files = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
        return self.api(
            "POST",
            f"departments/{department}/adapters",
            data={"name": name, "base_model": base_model or self.base_model},
            files=files,
        )

    def version(self, department: str, name: str, number: int = 1) -> dict[str, Any]:
        """A version as the management API shows it."""
        adapter = self.api("GET", f"departments/{department}/adapters/{name}").json()
        return next(version for version in adapter["versions"] if version["version"] == number)

    def wait_for_state(self, department: str, name: str, state: str, number: int = 1) -> dict[str, Any]:
        """Wait until a version has reached a state."""
        return wait_until(
            lambda: found if (found := self.version(department, name, number))["state"] == state else None,
            what=f"{name}:{number} is {state}",
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_platform(home: Path, port: int) -> Platform:
    """Start a platform and return when it says that it is ready."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("POLYGRAFT_")}
    for name in ("REDIS_URL", "DATABASE_URL", "DJANGO_SETTINGS_MODULE"):
        environment.pop(name, None)
    if VLLM_PYTHON.exists():
        environment |= {"POLYGRAFT_VLLM_PYTHON": str(VLLM_PYTHON), **VLLM_VARIABLES}
    process = subprocess.Popen(
        [sys.executable, "-m", "polygraft.local", "--parent", str(os.getpid())],
        cwd=ROOT,
        env=environment | {"POLYGRAFT_HOME": str(home), "POLYGRAFT_PORT": str(port)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    platform = Platform(home=home, url=f"http://127.0.0.1:{port}", demo={}, process=process)
    platform.reader = threading.Thread(target=_collect, args=(platform,), daemon=True)
    platform.reader.start()

    def ready() -> bool:
        if process.poll() is not None:
            pytest.fail("The platform ended:\n" + "".join(platform.output[-40:]))
        return any(line.startswith("Ready") for line in platform.output)

    try:
        wait_until(ready, seconds=START_SECONDS, what="the platform is ready")
    except AssertionError:
        stop_platform(platform)
        pytest.fail("The platform did not become ready:\n" + "".join(platform.output[-60:]))
    platform.demo = json.loads((home / "demo.json").read_text())
    return platform


def stop_platform(platform: Platform) -> int:
    """End a platform as Ctrl-C does, and return its exit code."""
    for client in platform.clients.values():
        client.close()
    if platform.process.poll() is None:
        platform.process.send_signal(signal.SIGINT)
    try:
        code = platform.process.wait(timeout=60)
        platform.reader.join()
        return code
    except subprocess.TimeoutExpired:
        platform.process.kill()
        pytest.fail("The platform did not stop within 60 s:\n" + "".join(platform.output[-40:]))


def _collect(platform: Platform) -> None:
    assert platform.process.stdout is not None
    with platform.process.stdout as lines:
        for line in lines:
            platform.output.append(line)
