"""Reads and writes `demo.json` in the state folder: the demo's secrets, for people and for their scripts."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polygraft.conf import config


@dataclass(slots=True)
class DemoFile:
    """The file's content. A secret that does not exist (any more) is an empty string."""

    url: str = ""
    username: str = ""
    password: str = ""
    admin_token: str = ""
    # Slug → key.
    api_keys: dict[str, str] = field(default_factory=dict)
    base_model: str = ""


def demo_file_path() -> Path:
    """Where it lies."""
    return config().home / "demo.json"


def demo_file_read() -> DemoFile:
    """What an earlier run left behind; empty when there was none, or when its file cannot be made sense of."""
    try:
        content: Any = json.loads(demo_file_path().read_text())
        return DemoFile(
            url=str(content["url"]),
            username=str(content["admin"]["username"]),
            password=str(content["admin"]["password"]),
            admin_token=str(content["admin_token"]),
            api_keys={str(slug): str(entry["api_key"]) for slug, entry in content["departments"].items()},
            base_model=str(content["base_model"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return DemoFile()


def demo_file_write(demo: DemoFile) -> None:
    """Replace the file; only its owner can read it, at no moment anyone else."""
    content = {
        "url": demo.url,
        "admin": {"username": demo.username, "password": demo.password},
        "admin_token": demo.admin_token,
        "departments": {slug: {"api_key": key} for slug, key in demo.api_keys.items()},
        "base_model": demo.base_model,
    }
    path = demo_file_path()
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    new.replace(path)
