"""Official clients and coding assistants on the llama.cpp host, whose answers the gateway translates."""

from collections.abc import Callable

import httpx
import pytest

from running_platform import Platform

from .dialects import SCENARIOS, Department

pytestmark = pytest.mark.e2e


@pytest.fixture
def department(platform: Platform) -> Department:
    return Department(platform, "support", "support-bot", "Thanks for reaching out", "llamacpp")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_with_llamacpp(department: Department, scenario: Callable[[Department], None]) -> None:
    scenario(department)


def test_tokens_are_told_outside_of_v1_too(platform: Platform) -> None:
    headers = {"authorization": f"Bearer {platform.key('support')}"}
    body = {"model": "support-bot", "prompt": "Hello there"}
    answer = httpx.post(f"{platform.url}/tokenize", json=body, headers=headers)
    assert answer.json()["count"] == len(answer.json()["tokens"]) > 0
    assert httpx.post(f"{platform.url}/tokenize", json=body).status_code == 401
