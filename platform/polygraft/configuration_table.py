"""Writes docs/configuration.md: `python -m polygraft.configuration_table > docs/configuration.md`."""

import sys

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from polygraft.conf import ROOT, Config

HEAD = """# Configuration

Every setting is an environment variable, read once at start. This page is made from `polygraft.conf` by
`python -m polygraft.configuration_table > docs/configuration.md`; a test fails when the two differ.

| variable | default | meaning |
|---|---|---|
"""


def render() -> str:
    """The page, with one row per setting in the order of their declaration."""
    rows = []
    for name, field in Config.model_fields.items():
        variable = field.validation_alias or f"POLYGRAFT_{name.upper()}"
        rows.append(f"| `{variable}` | {_shown(name, field.default)} | {field.description} |\n")
    return HEAD + "".join(rows)


def _shown(name: str, default: object) -> str:
    if default is PydanticUndefined:
        return "the host's name"
    if name == "home":
        return f"`{Config.model_fields[name].default.relative_to(ROOT)}` in the checkout"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, SecretStr) or default == {}:
        return ""
    if isinstance(default, list):
        return f"`{','.join(default)}`"
    return "" if default in ("", None) else f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(render())
