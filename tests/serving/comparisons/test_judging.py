"""Answers are judged in a process of its own, which is ended when an expectation would take for ever."""

from collections.abc import Iterator
from typing import Any

import pytest

from serving.comparisons.judging import Judge

SCHEMA = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "integer"}}}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as judge:
        yield judge


@pytest.mark.parametrize(
    ("expect", "good", "bad", "reason"),
    [
        ({"equals": "yes"}, " yes\n", "Yes", "It is not “yes”."),
        ({"contains": ["a", "b"]}, "b a", "b", "It does not contain “a”."),
        ({"contains": "ä"}, "ä", "a", "It does not contain “ä”."),
        ({"regex": r"^\d+$"}, "12", "1 2", r"It does not match “^\d+$”."),
        ({"json_schema": SCHEMA}, '{"answer": 4}', '{"answer": "4"}', "At $.answer: '4' is not of type 'integer'."),
        ({"json_schema": SCHEMA}, '{"answer": 4}', "four", "It is not JSON: "),
        ({"contains": "a", "regex": "b"}, "ab", "c", "It does not contain “a”. It does not match “b”."),
    ],
)
def test_an_answer_passes_or_it_is_said_why_not(
    judge: Judge, expect: dict[str, Any], good: str, bad: str, reason: str
) -> None:
    assert judge.passes(good, expect) == (True, "")
    passed, why = judge.passes(bad, expect)
    assert not passed
    assert why.startswith(reason)


BILLION = {"$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(60)} | {"60": {}}}
ENDLESS = [
    {"regex": "(a+)+$"},
    {"json_schema": {"type": "string", "pattern": "(a+)+$"}},
    {"json_schema": {**BILLION, "$ref": "#/$defs/0"}},
]


@pytest.mark.parametrize("expect", ENDLESS, ids=["regex", "pattern", "references"])
def test_an_expectation_that_never_ends_is_ended_and_the_next_one_is_judged(expect: dict[str, Any]) -> None:
    with Judge(seconds=2) as judge:
        passed, why = judge.passes('"' + "a" * 40 + '!"', expect)
        assert not passed
        assert "took longer than 2 s" in why
        assert judge.passes("a", {"equals": "a"}) == (True, "")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$ref": "#"}, "nested too deeply"),
        ({"$ref": "#/$defs/missing"}, "The schema refers to #/$defs/missing, which it does not have."),
    ],
)
def test_a_schema_that_leads_nowhere_is_said_to(judge: Judge, schema: dict[str, Any], reason: str) -> None:
    passed, why = judge.passes("{}", {"json_schema": schema})
    assert not passed
    assert reason in why
    assert judge.passes("a", {"equals": "a"}) == (True, "")


def test_an_answer_nested_without_end_is_no_harm(judge: Judge) -> None:
    assert judge.passes("[" * 100_000, {"json_schema": {}})[0] is False
    assert judge.passes("a", {"equals": "a"}) == (True, "")
