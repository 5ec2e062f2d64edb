"""Whose turn it is: departments by what they were served, interactive requests before batch."""

import random
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.turns.queue import Queue, Turn

ENGINE = "engine-1"


def always(engine: str) -> bool:
    return True


class Line:
    """A queue whose turns are taken one after another."""

    def __init__(self) -> None:
        self.queue = Queue()

    def ask(self, department: int, *, cost: float = 10, weight: int = 100, batch: bool = False) -> Turn:
        turn = Turn(cast(Any, None), self.queue.department(department, weight), cost=cost, batch=batch)
        turn.engines = (ENGINE,)
        self.queue.join(turn)
        return turn

    def serve(self) -> Turn:
        found = self.queue.next(always)
        assert found is not None
        turn, engine = found
        self.queue.leave(turn)
        self.queue.time = max(self.queue.time, turn.department.counter)
        turn.begin(engine)
        return turn

    def served(self, count: int) -> list[int]:
        return [self.serve().department.id for _ in range(count)]


def test_departments_alternate_however_many_requests_one_of_them_has() -> None:
    line = Line()
    for _ in range(50):
        line.ask(1)
    for _ in range(3):
        line.ask(2)
    assert line.served(6).count(2) == 3


def test_who_comes_in_the_middle_of_a_flood_is_next_but_one_at_the_latest() -> None:
    line = Line()
    for _ in range(50):
        line.ask(1)
    line.served(20)
    line.ask(2)
    assert 2 in line.served(2)


def test_staying_away_saves_no_turns_up() -> None:
    line = Line()
    line.ask(2)
    line.serve()
    for _ in range(200):
        line.ask(1)
    line.served(100)
    for _ in range(50):
        line.ask(2)
    assert 4 <= line.served(10).count(2) <= 6


@pytest.mark.parametrize(("weights", "share"), [((300, 100), 0.75), ((100, 100), 0.5), ((1000, 10), 100 / 101)])
def test_backlogged_departments_are_served_by_weight(weights: tuple[int, int], share: float) -> None:
    line = Line()
    dice = random.Random(1)
    tokens = {1: 0.0, 2: 0.0}
    for department, weight in enumerate(weights, 1):
        line.ask(department, weight=weight, cost=dice.uniform(1, 100))
    for _ in range(4000):
        turn = line.serve()
        department = turn.department.id
        tokens[department] += turn.cost
        line.ask(department, weight=weights[department - 1], cost=dice.uniform(1, 100))
    assert tokens[1] / sum(tokens.values()) == pytest.approx(share, rel=0.02)


def test_batch_requests_of_everybody_wait_for_the_interactive_ones_of_everybody() -> None:
    line = Line()
    batch = line.ask(1, batch=True)
    for _ in range(5):
        line.ask(2)
    assert line.served(5) == [2] * 5
    assert line.serve() is batch


def test_a_request_waits_only_for_engines_that_can_answer_it() -> None:
    line = Line()
    picky = line.ask(1)
    picky.engines = ("engine-2",)
    other = line.ask(2)
    assert line.queue.next(lambda engine: engine == ENGINE) == (other, ENGINE)
    line.queue.leave(other)
    assert line.queue.next(lambda engine: engine == ENGINE) is None


def test_who_has_left_is_not_served() -> None:
    line = Line()
    turn = line.ask(1)
    line.ask(1)
    line.queue.leave(turn)
    line.queue.leave(turn)
    assert line.serve() is not turn
    assert not line.queue.waiting


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(1, 100), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 10),
)
def test_everybody_is_served_once_and_in_order_within_a_department(
    asks: list[tuple[int, float, bool]], between: int
) -> None:
    line = Line()
    turns, served = [], []
    for number, (department, cost, batch) in enumerate(asks):
        turns.append(line.ask(department, cost=cost, batch=batch))
        if number % between == 0:
            served.append(line.serve())
    while line.queue.waiting:
        served.append(line.serve())
    assert sorted(map(id, served)) == sorted(map(id, turns))
    for department in range(1, 5):
        for batch in (False, True):
            mine = [turn for turn in turns if turn.department.id == department and turn.batch == batch]
            assert [turn for turn in served if turn in mine] == mine


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), min_size=20, max_size=60))
def test_two_backlogged_departments_are_never_further_apart_than_one_request(costs: list[tuple[float, float]]) -> None:
    line = Line()
    for first, second in costs:
        line.ask(1, cost=first)
        line.ask(2, cost=second)
    tokens = {1: 0.0, 2: 0.0}
    while len(line.queue.waiting) == 2:
        turn = line.serve()
        tokens[turn.department.id] += turn.cost
        assert abs(tokens[1] - tokens[2]) <= 100
