"""A thumb finds the request that it is for, and the latest one counts; by the service itself, on any database."""

from datetime import timedelta

from django.utils import timezone

from cast import Cast
from serving.feedback import feedback_give
from serving.models import Feedback, UsageRecord


def record(cast: Cast, request_id: str, *, minutes_ago: int = 0) -> None:
    UsageRecord.objects.create(
        request_id=request_id,
        at=timezone.now() - timedelta(minutes=minutes_ago),
        department=cast.support,
        endpoint="/v1/chat/completions",
        model="support-bot:1",
        adapter_version=cast.adapter.versions.get(number=1),
        outcome="finished",
        status=200,
        duration_ms=1,
    )


def give(cast: Cast, request_id: str, rating: int, comment: str = "") -> bool:
    return feedback_give(
        department_id=cast.support.pk,
        request_id=request_id,
        rating=rating,
        comment=comment,
        key_id=None,
        user_id=None,
    )


def test_the_latest_thumb_counts(cast: Cast) -> None:
    record(cast, "req-1")
    assert give(cast, "req-1", 1)
    assert give(cast, "req-1", -1, "It was wrong.")
    (kept,) = Feedback.objects.filter(request_id="req-1")
    assert (kept.rating, kept.comment, kept.adapter_version.number) == (-1, "It was wrong.", 1)


def test_of_requests_with_the_same_id_of_their_callers_the_latest_is_meant(cast: Cast) -> None:
    record(cast, "mine.aaaa", minutes_ago=2)
    record(cast, "mine.bbbb", minutes_ago=1)
    # Neither begins with "mine.".
    record(cast, "mine-too.cccc")
    record(cast, "mine/dddd")
    assert give(cast, "mine", 1)
    assert list(Feedback.objects.values_list("request_id", flat=True)) == ["mine.bbbb"]
    assert not give(cast, "min", 1)


def test_what_is_a_pattern_in_sql_is_none_here(cast: Cast) -> None:
    record(cast, "mine.aaaa")
    assert not give(cast, "m%", 1)
    assert not give(cast, "m_ne", 1)
