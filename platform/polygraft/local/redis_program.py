"""Finds a Redis server on PATH that is new enough. `bootstrap.py` uses it too, with whatever Python there is."""

from __future__ import annotations

import re
import shutil
import subprocess

OLDEST_REDIS = (6, 2)  # XAUTOCLAIM


def redis_on_path() -> str | None:
    """The path of a redis-server or valkey-server of version 6.2 or newer, or None."""
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path is not None and _version(path) >= OLDEST_REDIS:
            return path
    return None


def _version(path: str) -> tuple[int, int]:
    answer = subprocess.run([path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    match = re.search(r" v=(\d+)\.(\d+)", answer.stdout.decode(errors="replace"))
    return (int(match[1]), int(match[2])) if match else (0, 0)
