"""When a canary is taken back: tables, and simulated traffic for false alarms and for what is missed."""

import random
from collections import Counter
from math import comb

import pytest

from serving.rollouts.histogram import quantile, step_of
from serving.rollouts.thresholds import Thresholds
from serving.rollouts.verdict import Sample, by_chance, verdict

USUAL = Thresholds()


def times(*milliseconds: float) -> Counter[int]:
    return Counter(map(step_of, milliseconds))


@pytest.mark.parametrize(
    ("canary", "stable", "is_bad"),
    [
        ((10, 40), (0, 360), True),
        ((40, 40), (0, 40), True),
        ((29, 29), (0, 500), False),  # too few of the canary's
        ((40, 40), (0, 29), False),  # too few of the stable's
        ((2, 40), (0, 360), False),  # 5 %, but that may be chance
        ((40, 1000), (2, 9000), False),  # real, but under 5 percentage points
        ((60, 1000), (2, 9000), True),
        ((40, 100), (36, 100), False),  # an outage that befalls both
        ((0, 1000), (500, 1000), False),  # better
    ],
)
def test_errors(canary: tuple[int, int], stable: tuple[int, int], is_bad: bool) -> None:
    found = verdict(Sample(canary[1], canary[0]), Sample(stable[1], stable[0]), USUAL)
    assert bool(found) == is_bad
    if is_bad:
        assert f"{canary[0]} of its {canary[1]} requests failed" in found
        assert f"{stable[0]} of {stable[1]}" in found


@pytest.mark.parametrize(
    ("canary", "stable", "is_bad"),
    [
        ([900] * 40, [300] * 100, True),
        ([500] * 40, [300] * 100, False),  # not twice as long
        ([30] * 40, [10] * 100, False),  # nobody notices 20 ms
        ([900] * 20, [300] * 100, False),  # too few
        ([300] * 37 + [900] * 3, [300] * 100, False),  # three slow ones may be chance
        ([300] * 400 + [900] * 40, [300] * 4000, True),
        ([100] * 40, [900] * 100, False),
    ],
)
@pytest.mark.parametrize("kind", ["first_token", "whole_answer"])
def test_durations(canary: list[float], stable: list[float], is_bad: bool, kind: str) -> None:
    found = verdict(Sample(len(canary), **{kind: times(*canary)}), Sample(len(stable), **{kind: times(*stable)}), USUAL)
    assert bool(found) == is_bad
    assert not is_bad or ("first tokens" if kind == "first_token" else "answers") in found


def test_thresholds_are_the_rollouts_own() -> None:
    canary, stable = Sample(200, 20), Sample(2000, 2)
    assert verdict(canary, stable, Thresholds(error_rate=5))
    assert not verdict(canary, stable, Thresholds(error_rate=15))
    assert not verdict(canary, stable, Thresholds(requests=500))


def test_chance_is_what_fisher_says() -> None:
    # 8 of 10 against 1 of 10: counted out by hand over the hypergeometric distribution.
    exact = sum(comb(10, k) * comb(10, 9 - k) for k in (8, 9)) / comb(20, 9)
    assert by_chance(canary=8, of_canary=10, stable=1, of_stable=10) == pytest.approx(exact)
    assert by_chance(canary=0, of_canary=10, stable=5, of_stable=10) == pytest.approx(1.0)


def test_a_histogram_tells_quantiles_within_three_percent() -> None:
    drawn = random.Random(1)
    values = sorted(drawn.lognormvariate(5, 1) for _ in range(10_000))
    for share in (0.5, 0.95):
        found = quantile(times(*values), share)
        assert found == pytest.approx(values[int(share * len(values))], rel=0.03)
    assert quantile(Counter(), 0.5) is None


class Traffic:
    """Requests to a stable version and a canary with a tenth of them, looked at every 100 requests as they come."""

    def __init__(self, seed: int, *, errors: tuple[float, float], slower: float = 1.0) -> None:
        self.random = random.Random(seed)
        self.rates = {"stable": errors[0], "canary": errors[1]}
        self.slower = {"stable": 1.0, "canary": slower}

    def taken_back_after(self, requests: int) -> int | None:
        """After how many requests the canary was taken back; None: it was not."""
        counts = {name: [0, 0] for name in self.rates}
        durations: dict[str, Counter[int]] = {name: Counter() for name in self.rates}
        for number in range(1, requests + 1):
            name = "canary" if self.random.random() < 0.1 else "stable"
            counts[name][0] += 1
            counts[name][1] += self.random.random() < self.rates[name]
            durations[name][step_of(self.slower[name] * self.random.lognormvariate(5, 0.6))] += 1
            if number % 100 == 0:
                canary, stable = (Sample(*counts[name], first_token=durations[name]) for name in ("canary", "stable"))
                if verdict(canary, stable, USUAL):
                    return number
        return None


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1])
def test_a_canary_that_is_no_worse_is_hardly_ever_taken_back(rate: float) -> None:
    alarms = [seed for seed in range(60) if Traffic(seed, errors=(rate, rate)).taken_back_after(4000)]
    assert alarms == []


@pytest.mark.parametrize(
    ("traffic", "most"),
    [({"errors": (0.01, 1.0)}, 800), ({"errors": (0.01, 0.3)}, 1000), ({"errors": (0.0, 0.0), "slower": 4.0}, 1000)],
)
def test_a_canary_that_is_much_worse_is_taken_back_soon(traffic: dict[str, object], most: int) -> None:
    for seed in range(40):
        took = Traffic(seed, **traffic).taken_back_after(most)  # type: ignore[arg-type]
        assert took is not None, seed


def test_a_canary_that_is_somewhat_worse_is_taken_back_in_the_end() -> None:
    for seed in range(10):
        assert Traffic(seed, errors=(0.01, 0.12)).taken_back_after(8000) is not None
