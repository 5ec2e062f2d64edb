"""Uploads that race for the last room of a quota: run by tests/polygraft/test_postgresql.py."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from cast import make_cast
from serving.adapters.intake import adapter_upload
from serving.adapters.quotas import AdaptersExceeded, BytesExceeded, quota_use
from serving.models import Upload
from serving.uploads.lifecycle import upload_create


@pytest.mark.django_db(transaction=True)
def test_uploads_at_once_never_take_more_than_the_quota() -> None:
    cast = make_cast()
    Upload.objects.all().delete()
    cast.support.quota_bytes, cast.support.quota_adapters = 500, 4
    cast.support.save()
    start = threading.Barrier(12)

    def run(number: int) -> bool:
        start.wait()
        try:
            if number % 2:
                upload_create(
                    department=cast.support,
                    file_name="a",
                    size_bytes=100,
                    by=cast.people["dan"],  # type: ignore[arg-type]  # not nobody
                )
            else:
                adapter_upload(
                    department=cast.support,
                    name=f"bot-{number}",
                    base_model=cast.base_model,
                    files=[("adapter_config.json", io.BytesIO(b"x" * 100))],
                    by=None,
                )
        except (BytesExceeded, AdaptersExceeded):
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(12) as pool:
        taken = sum(pool.map(run, range(12)))
    use = quota_use(cast.support)
    assert (use.bytes, taken) == (500, 5)
    assert use.adapters <= 4
