"""Adds usage records up by adapter version and minute, as they are stored."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone

from serving.models import Outcome, UsageRecord, VersionMinute
from serving.rollouts.histogram import histogram_from_json, step_of

# Longer than the longest stretch of time that anybody is shown or that decides anything.
_KEPT = timedelta(days=8)
ERRORS = (Outcome.FAILED, Outcome.LOST)


def minute_of(moment: datetime) -> datetime:
    """The beginning of a moment's minute."""
    return moment.replace(second=0, microsecond=0)


def minutes_add(records: Iterable[UsageRecord]) -> None:
    """Add records that are new to the sums of their versions' minutes, in the transaction that stores them."""
    rows: dict[tuple[int, datetime], list[UsageRecord]] = defaultdict(list)
    for record in records:
        # What was refused never came to the version.
        if record.adapter_version_id is not None and record.outcome != Outcome.REFUSED:
            rows[record.adapter_version_id, minute_of(record.at)].append(record)
    # In one order everywhere, or two workers could each hold what the other waits for.
    for (version_id, minute), of_minute in sorted(rows.items(), key=lambda row: row[0]):
        row, _ = VersionMinute.objects.select_for_update().get_or_create(adapter_version_id=version_id, minute=minute)
        _add(row, of_minute)
        row.save()


def minutes_forget() -> None:
    """Delete the sums that nobody will ask for any more."""
    VersionMinute.objects.filter(minute__lt=timezone.now() - _KEPT).delete()


def _add(row: VersionMinute, records: list[UsageRecord]) -> None:
    first_token, whole_answer = histogram_from_json(row.first_token), histogram_from_json(row.whole_answer)
    row.requests += len(records)
    row.errors += sum(record.outcome in ERRORS for record in records)
    for record in records:
        if record.first_token_ms is not None:
            first_token[step_of(record.first_token_ms)] += 1
        elif record.outcome == Outcome.FINISHED and not record.streamed:
            whole_answer[step_of(record.duration_ms)] += 1
        if record.completion_tokens:
            before = record.first_token_ms if record.first_token_ms is not None else record.queue_ms
            row.completion_tokens += record.completion_tokens
            row.generation_ms += max(record.duration_ms - (before or 0.0), 0.0)
    row.first_token, row.whole_answer = _json(first_token), _json(whole_answer)


def _json(histogram: Counter[int]) -> dict[str, int]:
    return {str(step): count for step, count in sorted(histogram.items())}
