"""Brings the database, the static files and the demo up to date: `python -m polygraft.local.prepare`."""

import os
import sys
import time

import django
import redis
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection

from polygraft.local.problem import CannotStart
from polygraft.local.static_files import static_collect

_REDIS_SECONDS = 5.0


def main() -> int:
    """Prepare; what went wrong is said in a line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polygraft.settings")
    django.setup()

    from polygraft.local.demo import demo_prepare  # its models need Django to be set up

    try:
        _require_redis()
        _migrate()
        static_collect()
        demo_prepare()
    except CannotStart as error:
        print(error)
        return 1
    return 0


def _require_redis() -> None:
    from polygraft.live import redis_client

    deadline = time.monotonic() + _REDIS_SECONDS
    while True:
        try:
            redis_client().ping()
        except redis.BusyLoadingError:
            deadline = time.monotonic() + _REDIS_SECONDS  # it reads its data; the more there are, the longer
        except redis.RedisError as error:
            if time.monotonic() > deadline:
                raise CannotStart(f"Redis does not answer; check REDIS_URL. {error}") from error
        else:
            return
        time.sleep(0.05)


def _migrate() -> None:
    try:
        connection.ensure_connection()
    except (DatabaseError, ImproperlyConfigured) as error:
        reason = " ".join(str(error).split())
        raise CannotStart(f"The database does not answer; check DATABASE_URL. {reason}") from error
    call_command("migrate", interactive=False, verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
