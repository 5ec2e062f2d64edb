"""Runs look-ups in the database on threads, so that the event loop never waits for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import DatabaseError, close_old_connections

from serving.gateway.errors import DatabaseAway

T = TypeVar("T")

# Each thread keeps one connection; look-ups are rare, since their results are cached.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="gateway-database")


async def in_database(look_up: Callable[[], T]) -> T:
    """Run a function that reads the database.

    Raises:
        DatabaseAway: the database did not answer.
    """

    def run() -> T:
        # Nobody sends Django's request signals here, which is what ends connections that have gone bad.
        close_old_connections()
        return look_up()

    try:
        return await sync_to_async(run, thread_sensitive=False, executor=_threads)()
    except DatabaseError as error:
        raise DatabaseAway("The platform's database does not answer. Ask again in a few seconds.") from error
