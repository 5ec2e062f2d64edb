"""Intervals and p-values are those of statsmodels 0.14 (proportion_confint, mcnemar, multipletests)."""

import pytest

from serving.comparisons.chances import holm, mcnemar_p, wilson_interval


@pytest.mark.parametrize(
    ("passed", "judged", "low", "high"),
    [
        (0, 10, 0.0, 0.27753279986288926),
        (8, 10, 0.49016247153664183, 0.9433178485456247),
        (10, 10, 0.7224672001371106, 1.0),
        (50, 100, 0.4038315303659956, 0.5961684696340044),
        (997, 1000, 0.9912169859464969, 0.9989792161188614),
        (1, 1, 0.2065493143772374, 1.0),
    ],
)
def test_a_pass_rate_lies_in_wilsons_interval(passed: int, judged: int, low: float, high: float) -> None:
    assert wilson_interval(passed, judged) == pytest.approx((low, high), abs=1e-12)


def test_where_nothing_was_judged_every_rate_is_possible() -> None:
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (10, 2, 0.03857421875),
        (0, 5, 0.0625),
        (0, 6, 0.03125),
        (25, 15, 0.1538599441628321),
        (150, 86, 3.7159361395713866e-05),
        (7, 7, 1.0),
        (600, 480, 0.0002895729029358247),
        (1, 0, 1.0),
    ],
)
def test_pairs_that_differ_have_mcnemars_exact_p(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar_p(only_first, only_second) == pytest.approx(p, rel=1e-9)
    assert mcnemar_p(only_second, only_first) == mcnemar_p(only_first, only_second)


def test_pairs_that_are_all_alike_say_nothing() -> None:
    assert mcnemar_p(0, 0) == 1


def test_thousands_of_pairs_are_no_overflow() -> None:
    assert 0 <= mcnemar_p(6000, 3000) < 1e-100


def test_several_tests_at_once_are_corrected() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
