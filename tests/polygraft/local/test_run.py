"""`make run` as a whole: what it starts, it ends, however it is ended; what it has made, it keeps."""

from pathlib import Path

import httpx
import pytest

from deadline import wait_until
from plain_http import NO_CERTIFICATES
from processes import family, lives
from running_platform import Platform, free_port, start_platform, stop_platform

pytestmark = pytest.mark.e2e


def _answers(platform: Platform, department: str, model: str) -> bool:
    answer = httpx.post(
        f"{platform.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {platform.key(department)}"},
        json={"model": model, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 1},
        timeout=60,
        verify=NO_CERTIFICATES,
    )
    return answer.status_code == 200


def test_it_ends_without_a_trace_and_the_next_run_keeps_every_secret(tmp_path: Path) -> None:
    first = start_platform(tmp_path, free_port())
    everybody = family(first.process.pid)
    # The launcher and its guard, Redis, gunicorn with two workers, Celery with a pool of two and beat, an engine.
    assert len(everybody) >= 10
    assert stop_platform(first) == 0
    assert not any(map(lives, everybody))

    second = start_platform(tmp_path, free_port())
    everybody = family(second.process.pid)
    try:
        assert {**second.demo, "url": first.demo["url"]} == first.demo
        assert _answers(second, "support", "support-bot")
    finally:
        second.process.kill()
        second.process.wait()
    wait_until(lambda: not any(map(lives, everybody)) or None, what="all processes have ended")
