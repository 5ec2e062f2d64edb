"""Waits until the platform answers with every demo adapter: `python -m polygraft.local.probe URL SECONDS`."""

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from polygraft.local.demo_file import DemoFile, demo_file_read
from polygraft.local.demo_plan import DEPARTMENTS

_PAUSE_SECONDS = 0.1
_REQUEST_SECONDS = 60.0
# A start takes seconds; only one that takes longer is worth a word.
_TELL_EVERY_SECONDS = 10.0
# The worker begins a moment before this does, and may have placed an engine by then.
_HEAD_START = timedelta(seconds=10)


class NotYet(Exception):
    """What stands against an answer."""


def main(url: str, seconds: float) -> int:
    """Ask until everything has answered.

    Returns:
        The exit code: 1 when the time was over before.
    """
    deadline = time.monotonic() + seconds
    for subject, ask in _questions(url, demo_file_read()):
        begun = told_at = time.monotonic()
        while (problem := _problem(ask)) is not None:
            now = time.monotonic()
            if now > deadline:
                print(f"{subject} is not ready {seconds:.0f} s after the start: {problem}")
                return 1
            if now - told_at > _TELL_EVERY_SECONDS:
                told_at = now
                print(f"{subject} is not ready yet, after {now - begun:.0f} s: {problem}")
            time.sleep(_PAUSE_SECONDS)
        print(f"{subject} is ready")
    return 0


def _questions(url: str, demo: DemoFile) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is asked, and about what. Requests for completions come last: each is recorded as its department's use."""
    since = datetime.now(UTC) - _HEAD_START
    yield "the web server", partial(_ask, url, "GET", "/readyz")
    yield "the engine", partial(_ask_for_engine, url, demo, since)
    for department in DEPARTMENTS:
        yield (
            department.adapter,
            partial(
                _ask,
                url,
                "POST",
                "/v1/chat/completions",
                token=demo.api_keys[department.slug],
                body={
                    "model": department.adapter,
                    "messages": [{"role": "user", "content": "Hello!"}],
                    "max_tokens": 1,
                },
            ),
        )


def _ask_for_engine(url: str, demo: DemoFile, since: datetime) -> None:
    newest_first = json.loads(_ask(url, "GET", "/api/v1/engines", token=demo.admin_token))["results"]
    if not newest_first:
        raise NotYet("no node has taken it on")
    if datetime.fromisoformat(newest_first[0]["created_at"]) < since:
        # It ended with the run before. Asked now, its adapters would refuse, and each refusal is on record.
        raise NotYet("the latest is of an earlier run")
    if newest_first[0]["state"] != "ready":
        raise NotYet(" ".join(["the latest is", newest_first[0]["state"], newest_first[0]["error"]]).strip())


def _problem(ask: Callable[[], object]) -> str | None:
    try:
        ask()
    except (NotYet, OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return None


def _ask(url: str, method: str, path: str, *, token: str = "", body: dict[str, Any] | None = None) -> str:
    """Make one request.

    Raises:
        NotYet: the answer's status is not 200.
        OSError, HTTPException: there was no answer.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None  # noqa: S101  # for the type checker
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_REQUEST_SECONDS)
    try:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        connection.request(method, path, body=json.dumps(body) if body else None, headers=headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    finally:
        connection.close()
    if response.status != 200:
        raise NotYet(f"HTTP {response.status} {text[:300]}")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
