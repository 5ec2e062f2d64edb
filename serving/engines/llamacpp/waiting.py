"""Generations that wait to be admitted: by priority, then by what their department has been served, then by arrival."""

import bisect
import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator

from .generation import Generation
from .turns import FairTurns

_Entry = tuple[int, int, Generation]


class WaitingRoom:
    """A line for every department. Belongs to the compute thread."""

    def __init__(self, turns: FairTurns) -> None:
        self._turns = turns
        self._order = itertools.count()
        self._lines: dict[str, list[_Entry]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Generation]:
        return (generation for line in self._lines.values() for _, _, generation in line)

    def add(self, generation: Generation) -> None:
        """Puts a generation in its department's line."""
        line = self._lines.setdefault(generation.department, [])
        bisect.insort(line, (generation.priority, next(self._order), generation))

    def discard(self, generation: Generation) -> bool:
        """Takes a generation out; whether it was there."""
        line = self._lines.get(generation.department, [])
        entry = next((one for one in line if one[2] is generation), None)
        if entry is None:
            return False
        line.remove(entry)
        self._drop_empty_lines()
        return True

    def admit(self, join: Callable[[Generation], bool], uncomputed: dict[str, int]) -> None:
        """Offers every generation to `join`, whoever's turn it is first; those that it takes wait no longer.

        `uncomputed` are prompt tokens, by department, that have been admitted but not served yet.
        """
        ahead = defaultdict(int, uncomputed)
        heads: list[tuple[int, float, int, str, int]] = []
        for department in self._lines:
            self._push_head(heads, department, 0, ahead)
        while heads:
            *_, department, at = heapq.heappop(heads)
            generation = self._lines[department][at][2]
            if join(generation):
                ahead[department] += len(generation.prompt) - generation.cached
                del self._lines[department][at]
            else:
                at += 1
            self._push_head(heads, department, at, ahead)
        self._drop_empty_lines()

    def _push_head(
        self, heads: list[tuple[int, float, int, str, int]], department: str, at: int, ahead: dict[str, int]
    ) -> None:
        line = self._lines[department]
        if at < len(line):
            priority, order, _ = line[at]
            served = self._turns.served(department, prompt=ahead[department])
            heapq.heappush(heads, (priority, served, order, department, at))

    def _drop_empty_lines(self) -> None:
        self._lines = {department: line for department, line in self._lines.items() if line}
