"""What is archived or deleted is refused at the gateway within a second, and what is restored answers again."""

from collections.abc import Callable

import pytest

from cast import Cast
from deadline import wait_until
from serving.adapters.retirement import (
    adapter_archive,
    adapter_delete,
    adapter_restore,
    version_archive,
    version_delete,
    version_restore,
)

from .served import CHAT, Engines, Served, question


@pytest.mark.parametrize(
    ("retire", "restore"),
    [
        (lambda cast: version_archive(version=cast.adapter.versions.get(number=2), by=None), version_restore),
        (lambda cast: adapter_archive(adapter=cast.adapter, by=None), adapter_restore),
        (lambda cast: version_delete(version=cast.adapter.versions.get(number=2), by=None), None),
        (lambda cast: adapter_delete(adapter=cast.adapter, by=None), None),
    ],
    ids=["archived version", "archived adapter", "deleted version", "deleted adapter"],
)
def test_what_is_retired_is_not_found_within_a_second(
    cast: Cast, engines: Engines, serve: Callable[..., Served], retire, restore
) -> None:
    engines.start()
    client = serve().client(cast.secret)

    def status() -> int:
        return client.post(CHAT, json=question("support-bot:2")).status_code

    assert status() == 200
    retire(cast)
    wait_until(lambda: status() == 404, seconds=1, what="it is refused")
    if restore is version_restore:
        version_restore(version=cast.adapter.versions.get(number=2), by=None)
    elif restore is adapter_restore:
        adapter_restore(adapter=cast.adapter, by=None)
    else:
        return
    wait_until(lambda: status() == 200, seconds=1, what="it answers again")
