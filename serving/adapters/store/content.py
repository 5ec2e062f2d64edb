"""Lets bytes go from the store once no version has them any more, and keeps that from crossing with an upload.

Identical bytes are stored once, whoever uploaded them. So the bytes of a version that was deleted, or that an engine
refused, go only when no other version has the same digest; and a version takes its digest only while the bytes are
there. Both are done under one lock.
"""

from collections.abc import Callable

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from serving.adapters.store.files import adapter_store
from serving.models import AdapterVersion, VersionState
from tenants.models import Platform

log = structlog.get_logger()

_GONE = Q(state__in=[VersionState.DELETED, VersionState.REJECTED]) | Q(adapter__deleted_at__isnull=False)


def content_keep(digest: str, note: Callable[[], object]) -> bool:
    """Have a version note a digest, unless its bytes have just been let go of.

    Returns:
        Whether they are there; if not, nothing is noted, and they must be stored again.
    """
    with transaction.atomic():
        contents_lock()
        if not adapter_store().holds(digest):
            return False
        note()
    return True


def contents_release() -> int:
    """Remove the bytes of deleted and refused versions from the store, except those that others have, too.

    Returns:
        How many contents were removed. Several processes may run this at once.
    """
    gone = AdapterVersion.objects.filter(_GONE, released_at=None).exclude(digest="")
    removed = 0
    for digest in sorted(set(gone.values_list("digest", flat=True))):
        with transaction.atomic():
            contents_lock()
            living = AdapterVersion.objects.filter(digest=digest).exclude(_GONE).exists()
            if not living and adapter_store().holds(digest):
                adapter_store().remove(digest)
                removed += 1
                log.info("bytes that no version has any more have left the store", digest=digest)
            gone.filter(digest=digest).update(released_at=timezone.now())
    return removed


def contents_lock() -> None:
    """Let nobody else give a version a digest, or remove bytes, until this transaction ends."""
    Platform.load()
    Platform.objects.select_for_update().get(pk=1)
