"""Removes what dead workers have left: contents in the store that no version names, and files half-way to it.

A content is written before a version names it, so one that nobody names is left by a worker that died in between, or
still on its way. What is younger than a day is taken to be on its way.
"""

import shutil
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.utils import timezone

from polygraft.conf import config
from serving.adapters.store.content import contents_lock
from serving.adapters.store.contents import AdapterStore
from serving.adapters.store.files import adapter_store
from serving.events import event_record
from serving.models import AdapterVersion

# Longer than any examination, conversion and wait for a store takes.
ON_ITS_WAY = timedelta(days=1)

log = structlog.get_logger()


def store_sweep() -> int:
    """Remove what was left behind, and say so in an event.

    Returns:
        How many contents and half-written files were removed. Several processes may run this at once.
    """
    before = timezone.now() - ON_ITS_WAY
    store = adapter_store()
    contents = sum(_remove(store, digest, before) for digest in sorted(store.digests() - _named()))
    halves = store.unfinished_remove(before) + _scratch_remove(before)
    if contents or halves:
        event_record(
            kind="store.swept",
            sentence=f"Removed what writes that broke off had left: {contents} contents of the store that no version "
            f"names, {halves} half-written files.",
        )
    return contents + halves


def _named() -> set[str]:
    named = AdapterVersion.objects.exclude(digest="").filter(released_at=None)
    return set(named.values_list("digest", flat=True))


def _remove(store: AdapterStore, digest: str, before: datetime) -> bool:
    if store.changed_since(digest, before):
        return False
    with transaction.atomic():
        # A version takes a digest under the same lock, and only while the content is there.
        contents_lock()
        if AdapterVersion.objects.filter(digest=digest, released_at=None).exists():
            return False
        store.remove(digest)
    log.info("bytes that no version names have left the store", digest=digest)
    return True


def _scratch_remove(before: datetime) -> int:
    """Of this machine: where uploads are unpacked and examined."""
    removed = 0
    for left in (config().home / "tmp").iterdir():
        if left.stat().st_mtime < before.timestamp():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
            removed += 1
    return removed
