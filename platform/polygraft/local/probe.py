"""Waits until the platform answers with every demo adapter: `python -m polygraft.local.probe URL SECONDS`."""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from polygraft.local.demo_file import demo_file_read
from polygraft.local.demo_plan import DEPARTMENTS

_PAUSE_SECONDS = 0.1
_REQUEST_SECONDS = 60.0
# A start takes seconds; only one that takes longer is worth a word.
_TELL_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is answered with 200 once a part of the platform is ready. `body` None: a GET."""

    subject: str
    path: str
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


def main(url: str, seconds: float) -> int:
    """Ask until all is answered.

    Returns:
        The exit code: 1 when the time was over before.
    """
    deadline = time.monotonic() + seconds
    for question in _questions():
        asked_at = told_at = time.monotonic()
        while problem := _problem(url, question):
            now = time.monotonic()
            if now > deadline:
                print(f"{question.subject} does not answer {seconds:.0f} s after the start: {problem}")
                return 1
            if now - told_at > _TELL_EVERY_SECONDS:
                told_at = now
                print(f"{question.subject} does not answer yet, after {now - asked_at:.0f} s: {problem}")
            time.sleep(_PAUSE_SECONDS)
        print(f"{question.subject} answers")
    return 0


def _questions() -> Iterator[Question]:
    yield Question("the web server", "/readyz")
    keys = demo_file_read().api_keys
    for department in DEPARTMENTS:
        yield Question(
            department.adapter,
            "/v1/chat/completions",
            {"model": department.adapter, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 1},
            {"Authorization": f"Bearer {keys[department.slug]}", "Content-Type": "application/json"},
        )


def _problem(url: str, question: Question) -> str:
    """What stands against an answer; empty when there is one."""
    parts = urlsplit(url)
    assert parts.hostname is not None  # noqa: S101  # for the type checker
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_REQUEST_SECONDS)
    try:
        connection.request(
            "GET" if question.body is None else "POST",
            question.path,
            body=None if question.body is None else json.dumps(question.body),
            headers=question.headers,
        )
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if response.status == 200 else f"HTTP {response.status} {text[:300]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
