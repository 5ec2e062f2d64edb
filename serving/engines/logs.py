"""Engines' log files: kept short, and read without their secrets."""

import os
import re
import shutil
from pathlib import Path

_LONGEST_BYTES = 16 * 1024**2
_OLDER_KEPT = 2
_TAIL_BYTES = 64 * 1024
_TAIL_LINES = 400
# "uvicorn.error" is the name of a logger that says all sorts of things.
_ERROR = re.compile(r"\b(?:\w*Error|\w*Exception|Cannot|(?<!uvicorn\.)error|failed|ERROR|CRITICAL)\b")
_HIDDEN = "[hidden]"
# Tokens by their looks: ours, Hugging Face's, OpenAI's, and whatever follows the word for one.
_SECRETS = re.compile(
    r"\b(?:pg_|pgt_|hf_|sk-)[A-Za-z0-9_-]{8,}"
    r"|(?i:(?<=bearer )[^\s'\"]+)"
    r"|(?i:(?<=api[_-]key[=: ])['\"]?[^\s'\",)]+)"
    r"|(?i:(?<=authorization: )[^\s'\"]+)"
)


def log_shorten(path: Path) -> None:
    """Move a log that has grown long aside; its writer appends to the emptied file.

    What is written while it is copied may be lost: a line or two of thousands.
    """
    try:
        if path.stat().st_size <= _LONGEST_BYTES:
            return
        for number in range(_OLDER_KEPT, 1, -1):
            older = _numbered(path, number - 1)
            if older.exists():
                older.rename(_numbered(path, number))
        shutil.copyfile(path, _numbered(path, 1))
        os.truncate(path, 0)
    except FileNotFoundError:
        return


def log_tail(path: Path, secret: str) -> str:
    """The last lines of a log, at most 400, without secrets.

    Args:
        secret: the engine's own, which has no looks of its own.
    """
    try:
        with path.open("rb") as log:
            start = max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES)
            log.seek(start)
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    lines = text.splitlines()
    if start and lines:
        del lines[0]  # the rest of a line, whose secret may have begun before it
    return redacted("\n".join(lines[-_TAIL_LINES:]), secret)


def redacted(text: str, secret: str) -> str:
    """A text without this secret and whatever else looks like one."""
    if secret:
        text = text.replace(secret, _HIDDEN)
    return _SECRETS.sub(_HIDDEN, text)


def last_words(tail: str) -> str:
    """The lines of a log that tell best why an engine ended: the last that names an error, and the last of all."""
    lines = [line for line in tail.splitlines() if line.strip()]
    named = [line for line in lines if _ERROR.search(line)][-1:]
    return "\n".join(dict.fromkeys([*named, *lines[-5:]]))


def headline(error: str) -> str:
    """What an error with a log says in short: how it ended, and the last line that names an error, else the last."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    rest = lines[1:]
    named = [line for line in rest if _ERROR.search(line)] or rest
    return " … ".join(dict.fromkeys([*lines[:1], *named[-1:]]))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
