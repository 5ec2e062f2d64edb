"""The part of an adapter's page that shows what its name means and how its versions do, side by side."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from polygraft.live_fragment import LiveFragment, live_fragment
from serving.models import Adapter
from serving.rollouts.changes import rollout_before, weights_of
from serving.rollouts.numbers import USUAL_WINDOW, WINDOW_WORDS, version_numbers

# How often the numbers of a window are read again.
_SECONDS = {"5m": 2, "1h": 10, "24h": 60}


def numbers_fragment(request: HttpRequest, adapter: Adapter) -> LiveFragment:
    """How an adapter's versions do, within the window that the request asks for."""
    window = request.GET.get("window", USUAL_WINDOW)
    if window not in WINDOW_WORDS:
        window = USUAL_WINDOW
    rollout = getattr(adapter, "rollout", None)
    before = rollout_before(adapter)
    context: dict[str, Any] = {
        "adapter": adapter,
        "department": adapter.department,
        "rollout": rollout,
        "numbers": version_numbers(adapter, window),
        "windows": WINDOW_WORDS.items(),
        "window": window,
        "before": before,
        "before_weights": weights_of(before) if before is not None else {},
    }
    return live_fragment(
        request,
        "serving/rollout_numbers.html",
        context,
        seconds=_SECONDS[window],
        path=reverse("adapter-numbers", args=[adapter.department.slug, adapter.name]),
        name="numbers",
    )
