"""Says in words where an adapter came from."""

from collections.abc import Mapping
from typing import Any


def source_words(source: Mapping[str, Any]) -> str:
    """Such as "Hugging Face acme/support-bot at main"; empty for what is not known."""
    path = f"/{source['path']}" if source.get("path") else ""
    match source.get("kind"):
        case "upload":
            return "an upload"
        case "folder" | "bucket" as kind:
            return f"the {kind} {source['name']}{path}"
        case "hugging_face":
            commit = f" ({source['commit'][:12]})" if source.get("commit") else ""
            return f"Hugging Face {source['repo']}{path} at {source.get('revision') or 'main'}{commit}"
    return ""
