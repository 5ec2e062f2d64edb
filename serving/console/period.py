"""Usage over a stretch of time: sums, and a bar for each hour or day."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour
from django.utils import timezone

from serving.models import Outcome, UsageRecord

# The drawing's size in its own units; the page stretches it.
_WIDTH, _HEIGHT, _GAP = 720, 96, 3
_WIDEST_BAR = 36


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart, in the drawing's units; `label` is for hovering."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Period:
    """What was used from `since` until now."""

    since: datetime
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal
    first_token_ms: float | None
    bars: list[Bar]

    @property
    def failed_percent(self) -> float:
        """Failed requests in percent of all."""
        return 100 * self.failed / self.requests if self.requests else 0.0


def period(records: QuerySet[UsageRecord], *, hours: int) -> Period:
    """Sum up the last so many hours: bars are hours up to two days, else days."""
    now = timezone.now()
    step = timedelta(hours=1) if hours <= 48 else timedelta(days=1)
    first = _floor(now, step) - timedelta(hours=hours) + step
    recent = records.filter(at__gte=first).order_by()
    sums: dict[str, Any] = recent.aggregate(
        requests=Count("pk"),
        failed=Count("pk", filter=Q(outcome__in=(Outcome.FAILED, Outcome.LOST))),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        cost=Sum("cost"),
        first_token=Avg("first_token_ms"),
    )
    trunc = TruncHour if step == timedelta(hours=1) else TruncDay
    counted = recent.annotate(step=trunc("at")).values_list("step").annotate(n=Count("pk"))
    counts = dict(counted.values_list("step", "n"))
    steps = [first + step * index for index in range(int(timedelta(hours=hours) / step))]
    return Period(
        since=first,
        requests=sums["requests"],
        failed=sums["failed"],
        prompt_tokens=sums["prompt"] or 0,
        completion_tokens=sums["completion"] or 0,
        cost=sums["cost"] or Decimal(0),
        first_token_ms=sums["first_token"],
        bars=_bars([(moment, counts.get(moment, 0)) for moment in steps], step),
    )


def _floor(moment: datetime, step: timedelta) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    return hour if step == timedelta(hours=1) else hour.replace(hour=0)


def _bars(counts: list[tuple[datetime, int]], step: timedelta) -> list[Bar]:
    highest = max((count for _, count in counts), default=0) or 1
    place = _WIDTH / len(counts)
    width = min(place - _GAP, _WIDEST_BAR)
    form = "%d %b %H:00" if step == timedelta(hours=1) else "%d %b"
    bars = []
    for index, (moment, count) in enumerate(counts):
        # One request must be visible beside a million.
        height = max(_HEIGHT * count / highest, 3 if count else 1)
        label = f"{moment.strftime(form)} UTC: {count} request{'' if count == 1 else 's'}"
        bars.append(Bar((index + 0.5) * place - width / 2, _HEIGHT - height, width, height, label))
    return bars
