"""Compares what clients saw, what engines counted and what is on record."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from metering_clients import CLIENTS, Seen

_EXAMPLES = 5


@dataclass
class Ledger:
    """What the engines noted: who came, and the counts (prompt, cached, completion) of who was answered to the end."""

    begun: set[str] = field(default_factory=set)
    ended: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """The ledger as it stands in a file."""
        ledger = cls()
        for line in path.read_text().splitlines():
            match line.split():
                case ["begun", name]:
                    ledger.begun.add(name)
                case ["ended", name, prompt, cached, completion]:
                    ledger.ended[name] = int(prompt), int(cached), int(completion)
        return ledger


@dataclass(frozen=True)
class Recorded:
    """A usage record, as far as it is compared; `counts` as in the ledger."""

    name: str
    outcome: str
    status: int
    counts: tuple[int, int, int]


def never_arrived(seen: Seen, ledger: Ledger, recorded: set[str]) -> bool:
    """Whether nobody but its client knows of a request: its bytes lay in the socket of the gateway that was killed."""
    return not seen.status and seen.name not in ledger.begun and seen.name not in recorded


def compare(seen: list[Seen], records: Iterable[Recorded], ledger: Ledger) -> bool:
    """Print what was found; whether every bar is reached."""
    by_name: dict[str, list[Recorded]] = defaultdict(list)
    for record in records:
        by_name[record.name].append(record)
    arrived = [one for one in seen if not never_arrived(one, ledger, set(by_name))]
    one_each = {one.name: found[0] for one in arrived if len(found := by_name.get(one.name, [])) == 1}
    answered = [one for one in arrived if one.complete and one.status == 200 and one.name in ledger.begun]
    lost = len(seen) - len(arrived)
    print(f"requests {len(seen)}, of which {lost} never reached a gateway; records {sum(map(len, by_name.values()))}")
    print(f"what clients saw: {dict(Counter(str(one.status) for one in arrived).most_common())}")
    print(f"what is on record: {dict(Counter(record.outcome for record in one_each.values()).most_common())}")
    print(f"answered to the end by an engine: {len(answered)}")

    def wrong(what: str, names: list[str], limit: int = 0) -> bool:
        print(f"{'ok  ' if len(names) <= limit else 'FAIL'} {what}: {len(names)} {names[:_EXAMPLES] or ''}")
        return len(names) > limit

    def counts(one: Seen) -> tuple[int, int, int] | None:
        return one_each[one.name].counts if one.name in one_each else None

    failures = [
        wrong("requests without a record", [one.name for one in arrived if not by_name.get(one.name)]),
        wrong("requests with more than one record", [name for name, found in by_name.items() if len(found) > 1]),
        wrong("records of nothing that was asked", sorted(by_name.keys() - {one.name for one in seen})),
        wrong(
            "answered to the end, other tokens than the engine counted",
            [one.name for one in answered if counts(one) != ledger.ended.get(one.name)],
        ),
        wrong(
            "streams that showed other tokens than are on record",
            [one.name for one in answered if one.usage and one.name in one_each and one.usage != counts(one)[::2]],  # type: ignore[index]
        ),
        wrong(
            "usage shown to who did not ask for it",
            [one.name for one in seen if one.usage and one.kind != "stream-with-usage"],
        ),
        wrong(
            "finished on record, other tokens than the engine counted",
            [
                name
                for name, record in one_each.items()
                if record.outcome == "finished" and name in ledger.begun and record.counts != ledger.ended.get(name)
            ],
        ),
        wrong(
            "another status on record than the client saw",
            [
                one.name
                for one in arrived
                if one.complete and one.name in one_each and one_each[one.name].outcome != "lost"
                if one_each[one.name].status != one.status
            ],
        ),
        wrong("requests that never reached a gateway (at most one per client)", ["-"] * lost, CLIENTS),
        wrong(
            "records lost without a gateway killed over them (at most one per client)",
            [name for name, record in one_each.items() if record.outcome == "lost"],
            CLIENTS,
        ),
    ]
    return not any(failures)
