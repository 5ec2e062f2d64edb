"""Rolls versions out and back under traffic on real llama.cpp; exits 1 if a request fails or a wrong version answers.

    python bench/rollouts.py [--changes 100] [--rate 30] [--pause 0.6]

The whole platform runs as `make run` starts it, with the demo model. One adapter has two versions that speak in
different voices. While its bare name is asked at a steady rate, every other request as a stream, it is rolled out
wholly, as a canary, and back, over and over. Each answer says which version gave it (`x-polygraft-model`), and must be
what that version says when it is pinned; and the version must be one that the rollout allowed when the request was
sent: that of the last change that the management API had answered, or of one that was under way.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform"), str(REPOSITORY / "tests")]

# ruff: noqa: E402 - the paths come first
import httpx
from rollouts_check import Answer, Change, Voices, judge
from rollouts_load import Conversations

from running_platform import Platform, free_port, start_platform, stop_platform

DEPARTMENT, ADAPTER = "support", "support-bot"
VERSIONS = (1, 2)
# Version 2 wholly, and back; half of the conversations, then more of them, and back.
_COURSE: tuple[dict[str, int] | None, ...] = ({"2": 100}, None, {"1": 50, "2": 50}, {"1": 20, "2": 80}, None, None)
_TAIL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Wish:
    """How often the rollout changes, seconds from one change to the next, and requests per second meanwhile."""

    changes: int
    pause: float
    rate: float


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=100, help="rollouts and rollbacks")
    parser.add_argument("--rate", type=float, default=30.0, help="requests per second")
    parser.add_argument("--pause", type=float, default=0.6, help="seconds from one change to the next")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="bench-rollouts-"))
    platform = start_platform(home, free_port())
    try:
        add_second_voice(platform)
        wish = Wish(given.changes, given.pause, given.rate)
        voices, changes, answers = asyncio.run(roll(platform, wish))
    finally:
        stop_platform(platform)
        shutil.rmtree(home, ignore_errors=True)
    return 0 if judge(changes, answers, voices) else 1


def add_second_voice(platform: Platform) -> None:
    """Make the other demo adapter's content the second version."""
    platform.upload(DEPARTMENT, ADAPTER, REPOSITORY / "demo" / "adapters" / "contracts")
    platform.wait_for_state(DEPARTMENT, ADAPTER, "ready", 2)


async def roll(platform: Platform, wish: Wish) -> tuple[Voices, list[Change], list[Answer]]:
    """Change the rollout over and over while the bare name is asked.

    Returns:
        What each version says when it is pinned, every change, and every answer.
    """
    load = Conversations(platform.url, platform.key(DEPARTMENT), ADAPTER, rate=wish.rate)
    voices = await load.voices(VERSIONS)
    asking = asyncio.create_task(load.run())
    await asyncio.sleep(_TAIL_SECONDS)
    changes = [Change(sent_at=0.0, done_at=0.0, versions=frozenset({1}), is_back=False)]
    headers = {"Authorization": f"Bearer {platform.demo['admin_token']}"}
    path = f"{platform.url}/api/v1/departments/{DEPARTMENT}/adapters/{ADAPTER}/rollout"
    async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
        for number in range(wish.changes):
            shares = _COURSE[number % len(_COURSE)]
            sent_at = time.monotonic()
            if shares is None:
                answer = await client.post(f"{path}/rollback", json={})
            else:
                answer = await client.put(path, json={"versions": shares})
            answer.raise_for_status()
            versions = frozenset(map(int, answer.json()["rollout"]))
            changes.append(Change(sent_at, time.monotonic(), versions, is_back=shares is None))
            await asyncio.sleep(max(0.0, sent_at + wish.pause - time.monotonic()))
    await asyncio.sleep(_TAIL_SECONDS)
    load.stop()
    await asking
    return voices, changes, load.answers


if __name__ == "__main__":
    sys.exit(main())
