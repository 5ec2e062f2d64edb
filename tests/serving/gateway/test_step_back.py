"""A canary that fails on its engine is taken back by itself: from requests over their records to the next answer."""

from collections.abc import Callable

from cast import Cast
from deadline import wait_until
from fake_engine import Fault
from serving.accounting.usage import usage_store
from serving.models import Adapter, PlatformEvent, UsageRecord
from serving.rollouts.changes import rollout_change
from serving.rollouts.watch import rollouts_watch

from .served import ADAPTER_NAMES, CHAT, Engines, Served, question


def test_a_failing_canary_is_taken_back_and_nobody_is_answered_by_it_any_more(
    cast: Cast, engines: Engines, serve: Callable[..., Served]
) -> None:
    engines.start(resident=[ADAPTER_NAMES[0]], residency="on_demand")
    engines.start(fail=Fault.ERROR_500, resident=[ADAPTER_NAMES[1]], residency="on_demand")
    client = serve().client(cast.secret)
    rollout_change(adapter=cast.adapter, weights={1: 50, 2: 50}, by=None)

    def asked(count: int) -> list[int]:
        return [client.post(CHAT, json=question(text=f"case {number}")).status_code for number in range(count)]

    statuses = asked(100)
    assert 30 <= statuses.count(502) <= 70
    assert 30 <= statuses.count(200) <= 70
    wait_until(lambda: usage_store() >= 0 and UsageRecord.objects.count() == 100, what="all is on record")
    rollouts_watch()
    assert Adapter.objects.get(pk=cast.adapter.pk).weights == {1: 100}
    assert f"{statuses.count(502)} of its {statuses.count(502)} requests failed" in PlatformEvent.objects.get().sentence
    wait_until(lambda: set(asked(20)) == {200}, what="version 1 answers all")
