"""Orders the requests that wait for the engines of one base model: departments take turns by what they were served.

Each department has a counter of the tokens it was served, divided by its weight (virtual token counters, Sheng et al.,
OSDI 2024). The department with the lowest counter comes next. One that comes back after a pause is lifted to the
virtual time, the counter of whoever was served last: nobody saves up turns by staying away. Within a department it is
first come, first served, and no batch request goes while an interactive one waits.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.gateway.turns.slots import Pool

USUAL_WEIGHT = 100
# The rank of a batch request is beyond that of every interactive one.
BATCH_RANK = 1e15


class Turn:
    """A request's turn at an engine: waiting for it, taking it, and done.

    `engines` are the ids of those that may answer; `engine` is the one whose slot the request fills, "" before and
    for a request that goes on without. `cost` is what its department is charged when it begins.
    """

    __slots__ = ("batch", "begun", "cost", "department", "engine", "engines", "pool", "waiting")

    def __init__(self, pool: "Pool", department: "Department", *, cost: float, batch: bool) -> None:
        self.pool = pool
        self.department = department
        self.cost = cost
        self.batch = batch
        self.engines: tuple[str, ...] = ()
        self.engine = ""
        self.begun = False
        self.waiting: asyncio.Future[None] | None = None

    def begin(self, engine: str) -> None:
        """It is this request's turn."""
        self.engine = engine
        self.begun = True
        self.department.charge(self.cost)
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)


class Department:
    """A department in one queue. `served` is what has been added to its counter and nobody else knows of yet."""

    __slots__ = ("batch", "counter", "floor", "id", "interactive", "is_new", "length", "served", "usual", "weight")

    def __init__(self, id: int) -> None:
        self.id = id
        self.weight = 1.0
        self.counter = 0.0
        self.floor = 0.0
        self.served = 0.0
        self.length = 0
        # How long its answers usually are, in tokens.
        self.usual = 128.0
        # Whether its counter has not been compared with other processes' since it began to wait.
        self.is_new = False
        self.interactive: deque[Turn] = deque()
        self.batch: deque[Turn] = deque()

    def charge(self, tokens: float) -> None:
        """Add to what it was served, or take back what it was not."""
        amount = tokens / self.weight
        self.counter += amount
        self.served += amount


class Queue:
    """The departments of one base model, and which request is next."""

    def __init__(self) -> None:
        self.time = 0.0
        self.departments: dict[int, Department] = {}
        # Those with somebody waiting.
        self.waiting: dict[int, Department] = {}

    def department(self, id: int, weight: int) -> Department:
        """A department by its id, lifted to the virtual time unless it waits already."""
        department = self.departments.get(id)
        if department is None:
            department = self.departments[id] = Department(id)
        department.weight = weight / USUAL_WEIGHT
        if not department.length and department.counter < self.time:
            department.counter = department.floor = self.time
        return department

    def join(self, turn: Turn) -> None:
        """Wait behind the department's other requests of this kind."""
        department = turn.department
        (department.batch if turn.batch else department.interactive).append(turn)
        if not department.length:
            self.waiting[department.id] = department
            department.is_new = True
        department.length += 1

    def leave(self, turn: Turn) -> None:
        """Stop waiting. Who does not wait is not missed."""
        department = turn.department
        queue = department.batch if turn.batch else department.interactive
        if turn not in queue:
            return
        queue.remove(turn)
        department.length -= 1
        if not department.length:
            del self.waiting[department.id]

    def next(self, is_free: Callable[[str], bool]) -> tuple[Turn, str] | None:
        """The first request that can go to an engine that is free, and that engine."""
        for batch in (False, True):
            for department in self._in_turn(batch=batch):
                for turn in department.batch if batch else department.interactive:
                    for engine in turn.engines:
                        if is_free(engine):
                            return turn, engine
        return None

    def head(self) -> float:
        """The rank of the request that is next, infinite without any."""
        ranks = [
            department.counter if department.interactive else department.counter + BATCH_RANK
            for department in self.waiting.values()
        ]
        return min(ranks, default=float("inf"))

    def wanted(self, engine: str) -> int:
        """How many requests wait for an engine."""
        return sum(
            engine in turn.engines
            for department in self.waiting.values()
            for queue in (department.interactive, department.batch)
            for turn in queue
        )

    def agree(self, time: float, counters: Iterator[tuple[Department, float]]) -> None:
        """Take over what all processes together know."""
        self.time = max(self.time, time)
        for department, counter in counters:
            # What was charged while this was being asked is in nobody's counter yet.
            department.counter = counter + department.served
            if department.is_new:
                department.is_new = False
                if department.counter < self.time:
                    department.counter = department.floor = self.time

    def _in_turn(self, *, batch: bool) -> list[Department]:
        found = [one for one in self.waiting.values() if (one.batch if batch else one.interactive)]
        return sorted(found, key=lambda one: one.counter) if len(found) > 1 else found
