"""What departments that share one full engine get of it, with turns and without; exits 1 if a bar is not reached.

    python bench/fairness.py [--gateways 2] [--draw docs/figures]

A fake engine with 8 slots answers after a time for the prompt and then at a steady pace. A light department asks once a
second: alone, beside a flooder with 64 clients, and beside the same flooder without turns, first come, first served.
Then two departments with weights 3 and 1 flood the engine together. Both ask at all gateways.

A request that finds every slot filled waits until the first of them is free: of 8 that work for S seconds each, that is
up to 0.31 × S in 95 of 100 cases. No order of requests can be faster than that without an engine that interrupts its
work; the answers here are short enough beside their prompts for the bar to be within reach.
"""

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform"), str(REPOSITORY / "tests")]

# ruff: noqa: E402 - the paths come first
from gateway_platform import private_redis, published
from plot import Line, draw, shares
from sharing_load import Answer, Client
from sharing_platform import BASE_MODEL, Tenant, gateways, make_tenants

from fake_engine import FakeEngine

SLOTS, CLIENTS = 8, 64
TTFT, TOKENS, TOKENS_PER_SECOND, SPREAD = 0.4, 10, 100, 0.5
ALONE_SECONDS, TOGETHER_SECONDS, SHARE_SECONDS = 20, 45, 30
Addresses = list[tuple[str, int]]


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--draw", type=Path, help="folder that plots are written to")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-fairness-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(private_redis(folder))
        tenants, base_model_id = make_tenants("light", "flooder")
        addresses = stack.enter_context(gateways(given.gateways, folder, POLYGRAFT_LOG_LEVEL="WARNING"))
        print(f"{len(addresses)} gateways, one engine with {SLOTS} slots, {os.cpu_count()} cores", flush=True)
        good = noisy_neighbour(tenants, addresses, base_model_id, given.draw)
        return 0 if weights(tenants, addresses, base_model_id, given.draw) and good else 1


@contextlib.contextmanager
def engine(base_model_id: int, *, ttft: float, slots_told: int) -> Iterator[None]:
    """A fresh engine in the registry; who is told of no slots takes no turns."""
    options = {"tokens": TOKENS, "tps": TOKENS_PER_SECOND, "spread": SPREAD, "slots": SLOTS, "ttft": ttft}
    with (
        FakeEngine(models=[BASE_MODEL], **options) as fake,
        published(fake.address, base_model_id, kind="vllm", slots=slots_told),
    ):
        time.sleep(2)
        yield


def noisy_neighbour(tenants: dict[str, Tenant], addresses: Addresses, base_model_id: int, folder: Path | None) -> bool:
    """Whether the light department hardly notices the flooder, and the engine works as much as before."""
    light, flooder = tenants["light"].secret, tenants["flooder"].secret
    with engine(base_model_id, ttft=TTFT, slots_told=SLOTS):
        alone = asyncio.run(drip(light, addresses, ALONE_SECONDS))
        with_turns, turned = asyncio.run(drip_and_flood(light, flooder, addresses, TOGETHER_SECONDS))
    with engine(base_model_id, ttft=TTFT, slots_told=0):
        without, served = asyncio.run(drip_and_flood(light, flooder, addresses, ALONE_SECONDS))
    rows = {"alone": alone, "beside 64 clients, in turn": with_turns, "first come, first served": without}
    for name, answers in rows.items():
        firsts = [answer.first for answer in answers]
        print(f"  light department {name}: TTFT p50 {quantile(firsts, 0.5):.3f} s, p95 {quantile(firsts, 0.95):.3f} s")
    if folder is not None:
        lines = [shares(name, [answer.first for answer in answers]) for name, answers in rows.items()]
        title = "A light department beside a flood: time to first token"
        draw(folder / "noisy-neighbour.svg", title, "seconds", "% of its requests", lines, log_x=True)
    ratio = quantile([one.first for one in with_turns], 0.95) / quantile([one.first for one in alone], 0.95)
    kept = turned / served
    print(f"  the flooder and the light one together: {turned:.2f} requests/s in turn, {served:.2f} without turns")
    return verdict(
        ratio <= 1.5, f"TTFT p95 of the light one is {ratio:.2f} × what it has alone, at most 1.5 ×"
    ) & verdict(kept >= 0.97, f"throughput is {100 * kept:.1f} % of first come, first served, at least 97 %")


def weights(tenants: dict[str, Tenant], addresses: Addresses, base_model_id: int, folder: Path | None) -> bool:
    """Whether two backlogged departments get tokens by their weights."""
    from tenants.departments import department_limit
    from tenants.models import Department

    heavy = Department.objects.get(pk=tenants["flooder"].department_id)
    department_limit(department=heavy, weight=300, by=None)
    with engine(base_model_id, ttft=TTFT / 4, slots_told=SLOTS):
        began = time.perf_counter()
        answers = asyncio.run(both_flood(tenants, addresses, SHARE_SECONDS))
    tokens = {name: sum(one.tokens for one in found) for name, found in answers.items()}
    ratio = tokens["flooder"] / tokens["light"]
    print(f"  tokens in {SHARE_SECONDS} s: {tokens['flooder']} with weight 300, {tokens['light']} with weight 100")
    if folder is not None:
        lines = [
            running_sum(f"weight {300 if name == 'flooder' else 100}", found, began) for name, found in answers.items()
        ]
        draw(folder / "weights.svg", "Two backlogged departments", "seconds", "tokens served", lines)
    return verdict(abs(ratio / 3 - 1) <= 0.05, f"tokens are {ratio:.3f} : 1 for weights 3 : 1, within 5 %")


async def drip(secret: str, addresses: Addresses, seconds: float) -> list[Answer]:
    """Ask about once a second, however long answers take; at the gateways in turn."""
    answers: list[Answer] = []

    async def one(number: int) -> None:
        async with Client(addresses[number % len(addresses)], secret, stream=True, stream_options=USAGE) as client:
            answers.append(await client.ask())

    dice = random.Random(1)
    tasks = []
    for number in range(round(seconds)):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(dice.uniform(0.5, 1.5))
    await asyncio.gather(*tasks)
    if any(answer.status != 200 for answer in answers):
        raise SystemExit(f"The light department was refused: {[answer.status for answer in answers]}.")
    return answers


USAGE = {"include_usage": True}


async def flood(secret: str, addresses: Addresses, clients: int, end: float) -> list[Answer]:
    """Ask with so many clients, one request after another each, until a reading of the clock."""
    answers: list[Answer] = []

    async def one(number: int) -> None:
        async with Client(addresses[number % len(addresses)], secret, stream=True, stream_options=USAGE) as client:
            while time.perf_counter() < end:
                answers.append(await client.ask())

    await asyncio.gather(*map(one, range(clients)))
    return answers


async def drip_and_flood(light: str, flooder: str, addresses: Addresses, seconds: float) -> tuple[list[Answer], float]:
    """The light department's answers, and how many requests a second were answered of both while both asked."""
    begin = time.perf_counter() + 3  # the flood fills the queue first
    end = begin + seconds
    flooding = asyncio.create_task(flood(flooder, addresses, CLIENTS, end))
    await asyncio.sleep(3)
    answers = await drip(light, addresses, seconds)
    flooded = await flooding
    done = [one.began + one.duration for one in (*answers, *flooded)]
    return answers, sum(begin <= at < end for at in done) / seconds


async def both_flood(tenants: dict[str, Tenant], addresses: Addresses, seconds: float) -> dict[str, list[Answer]]:
    """What both departments were answered within so many seconds, once both have a backlog."""
    begin = time.perf_counter() + 3
    end = begin + seconds
    found = await asyncio.gather(*(flood(tenant.secret, addresses, CLIENTS // 2, end) for tenant in tenants.values()))
    return {
        name: [one for one in answers if begin <= one.began + one.duration < end]
        for name, answers in zip(tenants, found, strict=True)
    }


def running_sum(name: str, answers: list[Answer], began: float) -> Line:
    """The tokens served so far, over time."""
    total, points = 0, []
    for at, tokens in sorted((one.began + one.duration - began, one.tokens) for one in answers):
        total += tokens
        points.append((at, float(total)))
    return Line(name, points)


def quantile(values: list[float], share: float) -> float:
    """The value that this share of all is not above."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def verdict(good: bool, sentence: str) -> bool:
    """Print whether a bar is reached, and return it."""
    print(f"  {'met' if good else 'MISSED'}: {sentence}", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())
