"""The programs in the department guide and in the console run as they are printed."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from assistants import CLAUDE_CODE_HEADERS, claude_code, codex
from cast import Cast
from polygraft.conf import config
from polygraft.snippets import snippets
from serving.gateway.app import ENDPOINTS

from .served import Engines, Served

Serve = Callable[..., Served]

GUIDE = (Path(__file__).parents[3] / "docs" / "department-guide.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    """The guide's blocks of code in a language that call the platform."""
    return [block for block in re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL) if ADDRESS in block]


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("number", range(len(blocks("python"))))
@pytest.mark.parametrize("kind", ["llamacpp", "vllm"])
def test_the_guides_programs_print_an_answer(
    cast: Cast, engines: Engines, serve: Serve, number: int, kind: str
) -> None:
    engines.start(kind=kind)
    code = blocks("python")[number].replace(ADDRESS, serve().url).replace("pg_…", cast.secret)
    assert run(code).strip() in ("How do I reset my password? How do", "natively so")


def test_the_consoles_programs_print_an_answer(
    cast: Cast, engines: Engines, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.start()
    monkeypatch.setattr(type(config()), "base_url", serve().url)
    programs = {snippet.language: snippet.code for snippet in snippets(model="support-bot", key=cast.secret)}
    for language in ("python", "anthropic"):
        assert run(programs[language]).startswith("Hello! ")


def test_claude_codes_settings_lead_to_an_endpoint_and_name_every_model() -> None:
    (guide,) = blocks("sh")
    console = next(one.code for one in snippets(model="support-bot") if one.language == "claude-code")
    for text in (guide, console):
        settings = dict(re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE))
        path = settings["ANTHROPIC_BASE_URL"].removeprefix(ADDRESS) + "/v1/messages"
        assert text is console or path in ENDPOINTS
        assert {value for name, value in settings.items() if name.endswith("MODEL")} == {"support-bot"}


def test_codexs_settings_lead_to_an_endpoint() -> None:
    (text,) = blocks("toml")
    settings = tomllib.loads(text)
    provider = settings["model_providers"][settings["model_provider"]]
    path = provider["base_url"].removeprefix(ADDRESS) + "/" + provider["wire_api"]
    assert ENDPOINTS[path].method == "POST"


@pytest.mark.parametrize("kind", ["llamacpp", "vllm"])
def test_coding_assistants_requests_are_answered(cast: Cast, engines: Engines, serve: Serve, kind: str) -> None:
    engine = engines.start(kind=kind)
    client = serve().client(cast.secret)
    asked = claude_code("support-bot", "And now?")
    answer = client.post("/v1/messages?beta=true", json=asked, headers=CLAUDE_CODE_HEADERS)
    assert answer.text.endswith(
        'event: message_stop\ndata: {"type":"message_stop"}\n\n' if kind == "llamacpp" else "\n\n"
    )
    assert answer.status_code == 200
    asked = codex("support-bot", "And now?")
    answer = client.post("/v1/responses", json=asked)
    assert "event: response.completed" in answer.text
    sent = engine.stats()["last_body"]
    tools = [tool.get("name") or tool["function"]["name"] for tool in sent["tools"]]
    assert tools == ["shell", "apply_patch"]
