"""Tells the other gateway processes what this one has under way at each engine, and hears the same of them."""

import time
import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import orjson
import redis

KEY = "polygraft:gateways"
# Silent for so long, a process is gone, and with it what it had under way.
_STALE_SECONDS = 5.0
_FORGOTTEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Report:
    """What one gateway process says of itself.

    `outstanding` maps engine ids to tokens that requests there may still cost; `avoided` are the engines whose circuit
    breakers are open; `at` is in Unix seconds.
    """

    at: float
    outstanding: dict[str, int] = field(default_factory=dict)
    avoided: list[str] = field(default_factory=list)


class Peers:
    """The latest reports of the other processes."""

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex

    def report(self, outstanding: Mapping[str, int], avoided: Collection[str]) -> tuple[str, bytes]:
        """This process's own report, as a field and a value of the hash at `KEY`."""
        return self._name, orjson.dumps(Report(time.time(), dict(outstanding), list(avoided)))

    def outstanding(self, reports: Mapping[bytes, bytes]) -> Counter[str]:
        """Engine id → tokens that the other processes have under way there, from the whole hash at `KEY`."""
        total: Counter[str] = Counter()
        for name, report in _parse(reports).items():
            if name != self._name and _age(report) < _STALE_SECONDS:
                total.update(report.outstanding)
        return total


def gone(reports: Mapping[bytes, bytes]) -> list[str]:
    """The processes whose reports may be deleted."""
    return [name for name, report in _parse(reports).items() if _age(report) > _FORGOTTEN_SECONDS]


def avoided_engines(client: redis.Redis) -> set[str]:
    """The engines that some gateway process keeps its requests from, by their ids."""
    reports: dict[bytes, bytes] = client.hgetall(KEY)  # type: ignore[assignment]  # blocking client
    return {engine_id for report in _fresh(reports) for engine_id in report.avoided}


def _parse(reports: Mapping[bytes, bytes]) -> dict[str, Report]:
    return {name.decode(): Report(**orjson.loads(raw)) for name, raw in reports.items()}


def _fresh(reports: Mapping[bytes, bytes]) -> list[Report]:
    return [report for report in _parse(reports).values() if _age(report) < _STALE_SECONDS]


def _age(report: Report) -> float:
    return time.time() - report.at
