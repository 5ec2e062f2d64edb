"""How conversations move when shares change."""

from hypothesis import given
from hypothesis import strategies as st

from serving.rollouts.spans import Spans, spans_by_number, spans_change


@st.composite
def shares(draw: st.DrawFn) -> dict[int, int]:
    """Up to five versions of nine, with shares that sum to 100."""
    numbers = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5, unique=True))
    cuts = sorted(draw(st.sets(st.integers(1, 99), min_size=len(numbers) - 1, max_size=len(numbers) - 1)))
    ends = [*cuts, 100]
    return {number: end - start for number, start, end in zip(numbers, [0, *cuts], ends, strict=True)}


def line(spans: Spans) -> list[int]:
    return [number for number, length in spans for _ in range(length)]


@given(st.lists(shares(), min_size=2, max_size=6))
def test_each_change_moves_no_more_than_it_must_and_to_who_gains_only(rollouts: list[dict[int, int]]) -> None:
    spans, weights = spans_by_number(rollouts[0]), rollouts[0]
    for wished in rollouts[1:]:
        changed = spans_change(spans, wished)
        assert {number: line(changed).count(number) for number in wished} == wished
        moved = [(old, new) for old, new in zip(line(spans), line(changed), strict=True) if old != new]
        gains = {number: share - weights.get(number, 0) for number, share in wished.items()}
        assert len(moved) == sum(gain for gain in gains.values() if gain > 0)
        assert all(gains.get(old, -1) < 0 < gains[new] for old, new in moved)
        spans, weights = changed, wished


def test_spans_stay_few() -> None:
    spans = spans_by_number({1: 100})
    for share in (10, 25, 50, 75):
        spans = spans_change(spans, {1: 100 - share, 2: share})
    assert spans == [(1, 25), (2, 75)]
