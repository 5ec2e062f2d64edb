"""Names an adapter by its bytes: SHA-256 of each file, and one over all of them."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

DIGEST = re.compile(r"[0-9a-f]{64}")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(folder: Path) -> dict[str, str]:
    """Return file name → SHA-256 for every file of a flat folder, in the order of names."""
    return {path.name: file_digest(path) for path in sorted(folder.iterdir())}


def adapter_digest(files: Mapping[str, str]) -> str:
    """Return the SHA-256 over the canonical JSON of a manifest: the adapter version's address."""
    canonical = json.dumps(dict(files), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
