"""How the versions of an adapter do, side by side, over a stretch of time."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from serving.accounting.version_minutes import minute_of
from serving.models import Adapter, Feedback, Rating, VersionMinute
from serving.rollouts.histogram import histogram_from_json, quantile
from serving.rollouts.verdict import Sample

WINDOWS = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1), "24h": timedelta(days=1)}
WINDOW_WORDS = {"5m": "5 minutes", "1h": "1 hour", "24h": "24 hours"}
USUAL_WINDOW = "5m"


@dataclass(slots=True)
class Sums:
    """One version's minutes, added up."""

    requests: int = 0
    errors: int = 0
    completion_tokens: int = 0
    generation_ms: float = 0.0
    first_token: Counter[int] = field(default_factory=Counter)
    whole_answer: Counter[int] = field(default_factory=Counter)

    def add(self, minute: VersionMinute) -> None:
        """Add one minute."""
        self.requests += minute.requests
        self.errors += minute.errors
        self.completion_tokens += minute.completion_tokens
        self.generation_ms += minute.generation_ms
        self.first_token.update(histogram_from_json(minute.first_token))
        self.whole_answer.update(histogram_from_json(minute.whole_answer))

    def sample(self) -> Sample:
        """What a canary is judged by."""
        return Sample(self.requests, self.errors, self.first_token, self.whole_answer)


@dataclass(frozen=True, slots=True)
class VersionNumbers:
    """How one version does; rates and shares are in percent, times in milliseconds, None where nothing was measured.

    `tokens_per_second` is what one request gets; `up` and `down` are thumbs.
    """

    version: int
    share: int
    requests: int
    errors: int
    error_rate: float | None
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None
    whole_answer_p50_ms: float | None
    whole_answer_p95_ms: float | None
    tokens_per_second: float | None
    up: int
    down: int

    def as_json(self) -> dict[str, Any]:
        """For the management API."""
        return asdict(self)


def version_numbers(adapter: Adapter, window: str) -> list[VersionNumbers]:
    """The versions that are rolled out, or were asked for or rated within a window, the newest first.

    Args:
        window: a key of `WINDOWS`. It begins with a whole minute, so that it is up to a minute longer.
    """
    since = minute_of(timezone.now() - WINDOWS[window])
    ids = dict(adapter.versions.values_list("pk", "number"))
    sums = sums_since(ids, since)
    thumbs = _thumbs(ids, since)
    weights = adapter.weights
    shown = {number: pk for pk, number in ids.items() if number in weights or pk in sums or pk in thumbs}
    return [
        _numbers(number, weights.get(number, 0), sums.get(pk, Sums()), thumbs.get(pk, (0, 0)))
        for number, pk in sorted(shown.items(), reverse=True)
    ]


def sums_since(version_ids: Iterable[int], since: datetime) -> dict[int, Sums]:
    """Version id → its sums since the beginning of a minute, of those that were asked for."""
    sums: dict[int, Sums] = {}
    minutes = VersionMinute.objects.filter(adapter_version__in=list(version_ids), minute__gte=since).order_by()
    for minute in minutes.iterator(chunk_size=500):
        sums.setdefault(minute.adapter_version_id, Sums()).add(minute)
    return sums


def _thumbs(ids: Mapping[int, int], since: datetime) -> dict[int, tuple[int, int]]:
    rows = (
        Feedback.objects.filter(adapter_version__in=ids, at__gte=since)
        .order_by()
        .values("adapter_version")
        .annotate(up=Count("pk", filter=Q(rating=Rating.UP)), down=Count("pk", filter=Q(rating=Rating.DOWN)))
    )
    return {row["adapter_version"]: (row["up"], row["down"]) for row in rows}


def _numbers(number: int, share: int, sums: Sums, thumbs: tuple[int, int]) -> VersionNumbers:
    return VersionNumbers(
        version=number,
        share=share,
        requests=sums.requests,
        errors=sums.errors,
        error_rate=_rounded(100 * sums.errors / sums.requests, 2) if sums.requests else None,
        first_token_p50_ms=_rounded(quantile(sums.first_token, 0.5)),
        first_token_p95_ms=_rounded(quantile(sums.first_token, 0.95)),
        whole_answer_p50_ms=_rounded(quantile(sums.whole_answer, 0.5)),
        whole_answer_p95_ms=_rounded(quantile(sums.whole_answer, 0.95)),
        tokens_per_second=_rounded(1000 * sums.completion_tokens / sums.generation_ms) if sums.generation_ms else None,
        up=thumbs[0],
        down=thumbs[1],
    )


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
