"""What a comparison shows: figures, pairs, and a sentence that claims no more than they bear."""

import pytest

from serving.comparisons.summary import pair_of, summary_of
from serving.models import ComparisonAnswer

WON = [(False, True)] * 9 + [(True, False)] + [(True, True)] * 10


def test_each_candidate_has_its_figures(finished) -> None:
    comparison = finished([(True, False), (True, True), (None, None)])
    ComparisonAnswer.objects.filter(prompt__number=3, candidate=1).update(error="broke off", latency_ms=None)
    first, second = summary_of(comparison).figures
    assert (first.answers, first.errors, first.judged, first.passed) == (3, 0, 2, 2)
    assert (second.answers, second.errors, second.judged, second.passed) == (3, 1, 2, 1)
    assert (first.latency_median, first.latency_mean, first.first_token_median) == (200, 200, 10)
    assert (second.latency_median, second.tokens_mean) == (151, 5)
    assert second.pass_rate == 0.5
    assert second.interval == pytest.approx((0.0945, 0.9055), abs=1e-4)


def test_a_lead_beyond_chance_is_called_better(finished) -> None:
    summary = summary_of(finished(WON))
    assert (summary.leader, summary.is_certain) == ("support-bot:2", True)
    (pair,) = summary.pairs
    assert (pair.only_first, pair.only_second) == (9, 1)
    assert pair.p == pytest.approx(22 / 1024)
    assert summary.sentence.startswith("support-bot:2 is better. It passes 9 that support-bot:1 does not")
    assert "2 times in 100" in summary.sentence


def test_a_small_lead_may_be_chance(finished) -> None:
    summary = summary_of(finished([(False, True)] * 3 + [(True, True)] * 5))
    assert (summary.leader, summary.is_certain) == ("support-bot:2", False)
    assert "its lead over support-bot:1 may be chance" in summary.sentence


def test_equals_are_called_equals(finished) -> None:
    summary = summary_of(finished([(False, True), (True, False)]))
    assert not summary.is_certain
    assert "pass equally many prompts (1 of 2)" in summary.sentence


def test_without_expectations_nobody_leads(finished) -> None:
    summary = summary_of(finished([(None, None)]))
    assert (summary.leader, summary.pairs) == (None, [])
    assert summary.sentence.startswith("No prompt says what it expects")


def test_the_p_of_several_rivals_is_corrected(finished) -> None:
    names = ("support-bot:1", "support-bot:2", "base")
    comparison = finished([(*row, False) for row in WON], names)
    summary = summary_of(comparison)
    assert [pair.second for pair in summary.pairs] == ["support-bot:1", "base"]
    assert summary.pairs[0].p == pytest.approx(22 / 1024)  # the larger of the two stays
    assert summary.pairs[1].p == pytest.approx(2 * 2 / 2**19)
    assert pair_of(comparison, "support-bot:2", "base").p == pytest.approx(2 / 2**19)


def test_a_comparison_without_answers_has_nothing_to_say(finished) -> None:
    comparison = finished([])
    comparison.prompt_count = 4
    summary = summary_of(comparison)
    assert (summary.done, summary.wanted, summary.percent, summary.leader) == (0, 8, 0, None)
