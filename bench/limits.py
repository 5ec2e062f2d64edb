"""How exact limits are, and how soon a revoked key is refused, with several gateway processes; exits 1 if short.

    python bench/limits.py [--gateways 4] [--limit 1000] [--window 6]

A department asks twice as much as its limit allows, at all gateways at once, for ten windows. When each request was
admitted is read from the usage records. Windows are shorter than a minute (POLYGRAFT_LIMIT_WINDOW_SECONDS), so that ten
of them take one; everything else is as it runs in production. Then keys are revoked while every gateway is being asked.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from bisect import bisect_left
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform"), str(REPOSITORY / "tests")]

# ruff: noqa: E402 - the paths come first
import orjson
from gateway_platform import private_redis, published
from sharing_load import Client
from sharing_platform import BASE_MODEL, Tenant, gateways, make_tenants

from fake_engine import FakeEngine

WINDOWS = 10
CLIENTS_PER_GATEWAY = 8
REVOCATIONS = 5


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=4)
    parser.add_argument("--limit", type=int, default=1000, help="requests per window")
    parser.add_argument("--window", type=float, default=6, help="seconds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-limits-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(private_redis(folder))
        tenants, base_model_id = make_tenants("support")
        engine = stack.enter_context(FakeEngine(models=[BASE_MODEL]))
        stack.enter_context(published(engine.address, base_model_id, kind="vllm", slots=0))
        settings = {"POLYGRAFT_LIMIT_WINDOW_SECONDS": str(given.window), "POLYGRAFT_LOG_LEVEL": "WARNING"}
        addresses = stack.enter_context(gateways(given.gateways, folder, **settings))
        good = measure_limits(tenants["support"], addresses, given.limit, given.window)
        return 0 if measure_revocation(tenants["support"], addresses) and good else 1


def measure_limits(tenant: Tenant, addresses: list[tuple[str, int]], limit: int, window: float) -> bool:
    """Whether each of ten windows, and any window at all, sees what the limit says."""
    from tenants.departments import department_limit
    from tenants.models import Department

    department = Department.objects.get(pk=tenant.department_id)
    department_limit(department=department, limits={"requests_per_minute": limit}, by=None)
    time.sleep(1)
    before = trips()
    asked = asyncio.run(flood(tenant.secret, addresses, 2 * limit / window, (WINDOWS + 0.5) * window))
    needed = trips() - before
    department_limit(department=department, limits={}, by=None)
    times = sorted(at for at, status in recorded(asked) if status == 200)
    begin = times[0]
    counts = [
        bisect_left(times, begin + (number + 1) * window) - bisect_left(times, begin + number * window)
        for number in range(WINDOWS)
    ]
    # What was admitted within a window that begins with any request.
    most = max(bisect_left(times, at + window) - place for place, at in enumerate(times))
    print(f"{len(addresses)} gateways, {limit} requests per {window:g} s, {asked} asked, {os.cpu_count()} cores")
    print(f"  admitted in {WINDOWS} windows: {counts}; in any window at most {most}")
    print(f"  exchanges with Redis: {needed}, {needed / asked:.3f} per request that was asked")
    worst = max(abs(count - limit) for count in counts)
    good = worst <= limit / 100 and most <= limit * 1.01
    print(f"  {'met' if good else 'MISSED'}: within 1 % (worst window {100 * worst / limit:.2f} %)")
    return good


async def flood(secret: str, addresses: list[tuple[str, int]], rate: float, seconds: float) -> int:
    """Ask all gateways at this common rate; returns how many requests were asked."""
    clients = len(addresses) * CLIENTS_PER_GATEWAY
    pause = clients / rate
    end = time.perf_counter() + seconds

    async def one(number: int) -> int:
        asked = 0
        async with Client(addresses[number % len(addresses)], secret, max_tokens=8) as client:
            due = time.perf_counter() + pause * number / clients
            while (now := time.perf_counter()) < end:
                if now < due:
                    await asyncio.sleep(due - now)
                due = max(due + pause, now - pause)
                await client.ask()
                asked += 1
        return asked

    return sum(await asyncio.gather(*map(one, range(clients))))


def recorded(count: int) -> list[tuple[float, int]]:
    """When each request arrived and what it got, from the usage records, as soon as all of them are there."""
    from polygraft.live import redis_client
    from serving.accounting.usage import STREAM

    deadline = time.monotonic() + 30
    while redis_client().xlen(STREAM) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    records = [orjson.loads(fields[b"record"]) for _, fields in redis_client().xrange(STREAM)]
    return [(record["at"], record["status"]) for record in records]


def trips() -> int:
    """How many scripts Redis has run."""
    from polygraft.live import redis_client

    return int(redis_client().info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


def measure_revocation(tenant: Tenant, addresses: list[tuple[str, int]]) -> bool:
    """Whether revoked keys are refused by every gateway within a second."""
    from tenants.keys import key_create, key_revoke
    from tenants.models import Department

    department = Department.objects.get(pk=tenant.department_id)
    slowest = 0.0
    for number in range(REVOCATIONS):
        key, secret = key_create(department=department, name=f"doomed-{number}", by=None)
        slowest = max(slowest, asyncio.run(last_admission(addresses, secret, lambda: key_revoke(key=key, by=None))))  # noqa: B023
    good = slowest <= 1
    print(f"revocation of {REVOCATIONS} keys at {len(addresses)} gateways: last admitted {slowest * 1000:.0f} ms after")
    print(f"  {'met' if good else 'MISSED'}: refused everywhere within 1 s")
    return good


async def last_admission(addresses: list[tuple[str, int]], secret: str, revoke: object) -> float:
    """Seconds from a revocation until the last request that is still let in, at any gateway."""
    revoked_at = float("inf")
    last = 0.0

    async def ask(address: tuple[str, int]) -> None:
        nonlocal last
        async with Client(address, secret, max_tokens=8) as client:
            while True:
                answer = await client.ask()
                if answer.status == 401:
                    return
                if answer.status != 200:
                    raise SystemExit(f"A gateway answered {answer.status}.")
                last = max(last, answer.began)
                if time.perf_counter() - revoked_at > 5:
                    return
                await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(ask(address)) for address in addresses]
    await asyncio.sleep(0.5)
    revoked_at = time.perf_counter()
    await asyncio.to_thread(revoke)  # type: ignore[arg-type]  # a function of nothing
    await asyncio.gather(*tasks)
    return max(last - revoked_at, 0.0)


if __name__ == "__main__":
    sys.exit(main())
