"""Checks that metering loses nothing and counts nothing twice, whatever is killed; exits 1 if it does.

    python bench/metering.py [--requests 20000]

Two gateway processes answer a mix of requests: streams, aborts, refusals. Meanwhile engines are killed over and over,
one gateway process is, and Redis is, which comes back without its memory. In the end the records in the database are
compared with what each client saw and with what the engines counted.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform")]

# ruff: noqa: E402 - the paths come first
from gateway_platform import MODEL, make_platform
from metering_check import Ledger, Recorded, compare, never_arrived
from metering_clients import Seen, ask_all
from metering_parts import Engines, Gateways, Redis, consumer

_REQUESTS_PER_ENGINE_KILL = 1000
_GATEWAY_KILLED_AT, _REDIS_KILLED_AT = 0.4, 0.65
_REDIS_AWAY_SECONDS = 1.5
_SETTLE_SECONDS = 90.0


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    count = parser.parse_args().requests
    with tempfile.TemporaryDirectory(prefix="bench-metering-") as name:
        folder = Path(name)
        redis = Redis(folder)
        secret, base_model_id = make_platform()
        with Engines(base_model_id, folder / "ledger") as engines, consumer(), Gateways() as gateways:
            trouble = Trouble(count, engines, gateways, redis)
            began = time.monotonic()
            seen = asyncio.run(ask_all(gateways.port, secret, MODEL, count, trouble.progress))
            trouble.over()
            print(f"{count} requests in {time.monotonic() - began:.0f} s", flush=True)
            ledger = Ledger.read(folder / "ledger")
            records = _settled(seen, ledger)
        redis.kill()
        return 0 if compare(seen, records, ledger) else 1


class Trouble:
    """What goes wrong while clients ask, at the same points of every run."""

    def __init__(self, count: int, engines: Engines, gateways: Gateways, redis: Redis) -> None:
        self._engines = engines
        self._gateways = gateways
        self._redis = redis
        self._plan = dict.fromkeys(range(500, count, _REQUESTS_PER_ENGINE_KILL), self._kill_engine)
        self._plan[int(count * _GATEWAY_KILLED_AT) + 1] = self._kill_gateway
        self._plan[int(count * _REDIS_KILLED_AT) + 1] = self._kill_redis
        self._makers: list[threading.Thread] = []

    def progress(self, number: int) -> None:
        """So many requests have been sent."""
        if number in self._plan:
            maker = threading.Thread(target=self._plan[number])
            maker.start()
            self._makers.append(maker)

    def over(self) -> None:
        """Wait until everything has been made good."""
        for maker in self._makers:
            maker.join()

    def _kill_engine(self) -> None:
        self._engines.kill_one()
        print("an engine was killed", flush=True)

    def _kill_gateway(self) -> None:
        self._gateways.kill_one()
        print("a gateway process was killed", flush=True)

    def _kill_redis(self) -> None:
        self._redis.kill()
        time.sleep(_REDIS_AWAY_SECONDS)
        self._redis.start()
        print("Redis was killed, and is back without its memory", flush=True)


def _settled(seen: list[Seen], ledger: Ledger) -> list[Recorded]:
    """The records, once there is one for every request that has arrived, or none has come for long."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        records = list(_read())
        names = {record.name for record in records}
        missing = [one for one in seen if one.name not in names and not never_arrived(one, ledger, names)]
        if not missing or time.monotonic() > deadline:
            # What comes twice may come late.
            time.sleep(3)
            return list(_read())
        time.sleep(0.5)


def _read() -> Iterator[Recorded]:
    from serving.models import UsageRecord

    fields = "request_id", "outcome", "status", "prompt_tokens", "cached_tokens", "completion_tokens"
    for request_id, outcome, status, *counts in UsageRecord.objects.values_list(*fields):
        prompt, cached, completion = counts
        yield Recorded(request_id.partition(".")[0], outcome, status, (prompt, cached, completion))


if __name__ == "__main__":
    sys.exit(main())
