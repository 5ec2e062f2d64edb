"""The host as a process: how it starts, whom it lets in, how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo_model import demo_model_path
from plain_http import NO_CERTIFICATES
from serving.engines.llamacpp.options import options_parse

COMPLETION = {"model": "base", "prompt": "Hello", "max_tokens": 2}


def run_host(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving.engines.llamacpp", *arguments], capture_output=True, text=True, timeout=60
    )


async def test_without_the_secret_only_health_answers(start_host: Callable[..., Any]) -> None:
    host = start_host("--ctx-size", "256", "--parallel", "1", env={"POLYGRAFT_ENGINE_SECRET": "s3cret"})
    right = {"authorization": "Bearer s3cret"}
    async with httpx.AsyncClient(base_url=host.url, verify=NO_CERTIFICATES) as client:
        assert (await client.get("/health")).status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}):
            for path in ("/metrics", "/v1/models", "/nowhere"):
                assert (await client.get(path, headers=headers)).status_code == 401
            refused = await client.post("/v1/completions", json=COMPLETION, headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
            unloaded = await client.post("/v1/unload_lora_adapter", json={"lora_name": "x"}, headers=headers)
            assert unloaded.status_code == 401
        assert (await client.post("/v1/completions", json=COMPLETION, headers=right)).status_code == 200


async def test_sigterm_lets_a_running_answer_finish_and_exits_0(start_host: Callable[..., Any]) -> None:
    host = start_host("--ctx-size", "256", "--parallel", "1", "--enable-force-include-usage")
    body = COMPLETION | {"max_tokens": 40, "stream": True, "ignore_eos": True}
    async with httpx.AsyncClient(base_url=host.url, timeout=60, verify=NO_CERTIFICATES) as client:
        async with client.stream("POST", "/v1/completions", json=body) as response:
            lines = response.aiter_lines()
            await anext(lines)
            host.process.send_signal(signal.SIGTERM)
            rest = [line async for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert '"completion_tokens":40' in rest[-2]
    assert await asyncio.to_thread(host.process.wait, 30) == 0


@pytest.mark.parametrize("damage", ["missing", "noise"])
def test_a_base_model_that_cannot_be_read_ends_it_with_a_reason(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "broken.gguf"
    if damage == "noise":
        path.write_bytes(b"GGUF" + bytes(200))

    ended = run_host("--model", str(path), "--port", "0")

    assert ended.returncode == 1
    assert "broken.gguf" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_lora_that_cannot_be_loaded_at_start_ends_it_with_a_reason(tmp_path: Path) -> None:
    ended = run_host("--model", str(demo_model_path()), "--port", "0", "--lora", f"red={tmp_path / 'no.gguf'}")

    assert ended.returncode == 1
    assert "no.gguf" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_ends_it_with_a_reason(host: Any) -> None:
    ended = run_host("--model", str(demo_model_path()), "--port", host.url.rsplit(":", 1)[1])

    assert ended.returncode == 1
    assert "Cannot listen" in ended.stderr


@pytest.mark.parametrize(
    "wrong", [["--ctx-size", "0"], ["--lora", "x"], ["--parallel", "8", "--batch-size", "4"], ["--threads", "-1"]]
)
def test_a_wrong_option_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options_parse(["--model", "m.gguf", *wrong])

    assert ended.value.code == 2


def test_llama_cpp_is_quiet(start_host: Callable[..., Any]) -> None:
    host = start_host("--ctx-size", "256", "--parallel", "1", stderr=subprocess.PIPE)

    host.process.send_signal(signal.SIGTERM)
    _, noise = host.process.communicate(timeout=60)

    assert "llama" not in noise.replace("serving.engines.llamacpp", "")


def test_it_needs_no_django() -> None:
    code = (
        "import sys; sys.modules['django'] = None\n"
        "import serving.engines.llamacpp.__main__\n"
        "print([name for name in sys.modules if name.startswith(('serving.models', 'tenants'))])"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)

    assert (ended.returncode, ended.stdout.strip()) == (0, "[]"), ended.stderr
