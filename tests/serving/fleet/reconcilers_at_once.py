"""Many reconcilers in threads of their own, on a database that lets them: run by tests/polygraft/test_postgresql.py."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from cast import make_cast
from polygraft.live import redis_client
from serving.fleet.reconciler import reconcile
from serving.fleet.registry import NODES_KEY, NodeEntry, node_publish
from serving.models import Engine, Node


@pytest.mark.django_db(transaction=True)
def test_reconcilers_at_once_start_what_is_wished_for_and_no_more() -> None:
    redis_client().delete(NODES_KEY)
    cast = make_cast()
    for name in ("node-1", "node-2", "node-3"):
        Node.objects.get_or_create(name=name, defaults={"address": "127.0.0.1", "last_seen_at": timezone.now()})
        node_publish(redis_client(), NodeEntry(name=name, address="127.0.0.1", facts={}))
    for replicas in (5, 1, 9, 0, 4):
        cast.deployment.replicas = replicas
        cast.deployment.save(update_fields=["replicas"])
        start = threading.Barrier(6)

        def run(_: int, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                reconcile()
            finally:
                connection.close()

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(run, range(6)))
        # Whoever found its turn taken has left the rest to the next pass.
        reconcile()
        assert Engine.objects.filter(deployment=cast.deployment, state="starting").count() == replicas
    redis_client().delete(NODES_KEY)
