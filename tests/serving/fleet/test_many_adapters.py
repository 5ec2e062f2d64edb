"""What is asked of the database does not grow with the number of adapters."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cast import Cast, adapters_make
from polygraft.live import redis_client
from serving.fleet.reconciler import reconcile
from serving.fleet.registry import NodeEntry, node_publish
from serving.fleet.residency import residency_wish
from serving.gateway import catalogue
from serving.models import Node


def queries(work: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


@pytest.mark.parametrize("work", ["a pass of the reconciler", "a department's shelf", "what engines should hold"])
def test_a_hundred_adapters_take_no_more_queries_than_ten(cast: Cast, work: str) -> None:
    Node.objects.update_or_create(name="node-1", defaults={"address": "127.0.0.1", "last_seen_at": timezone.now()})
    node_publish(redis_client(), NodeEntry(name="node-1", address="127.0.0.1", facts={}))
    reconcile()
    works: dict[str, Callable[[], object]] = {
        "a pass of the reconciler": reconcile,
        "a department's shelf": lambda: catalogue._read_shelf(cast.support.pk, cast.support.slug),
        "what engines should hold": lambda: residency_wish(cast.deployment),
    }
    adapters_make(cast, range(10))
    few = queries(works[work])
    adapters_make(cast, range(10, 100))
    assert queries(works[work]) == few
