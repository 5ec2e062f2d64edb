"""Which candidate of a comparison its page offers to make live."""

from dataclasses import dataclass

from serving.comparisons.candidates import version_number
from serving.comparisons.summary import Summary
from serving.models import Comparison, ComparisonState, VersionState


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version that may go live, and whether the comparison is sure that it is better."""

    candidate: str
    number: int
    is_certain: bool


def promotion_of(comparison: Comparison, summary: Summary) -> Promotion | None:
    """The leader, where it is a version that can go live and is not live by itself already."""
    if comparison.state != ComparisonState.FINISHED or summary.leader is None:
        return None
    number = version_number(summary.leader)
    if number is None or comparison.adapter.weights.get(number) == 100:
        return None
    if not comparison.adapter.versions.filter(number=number, state=VersionState.READY).exists():
        return None
    return Promotion(summary.leader, number, summary.is_certain)
