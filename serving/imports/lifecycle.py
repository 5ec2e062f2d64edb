"""Begins, carries out, gives up and forgets imports."""

import shutil
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from polygraft.conf import config
from serving.adapters.intake import adapter_upload, name_check
from serving.adapters.quotas import quota_claim
from serving.background import import_request
from serving.imports.origin import Item, Origin, SourceProblem, chosen
from serving.imports.sources import source_open
from serving.models import AdapterImport, BaseModel, ImportState
from tenants.audit import audit_record
from tenants.models import Department, User

# Of one department at one time.
MOST_MOVING = 10
# Without a byte for so long, its worker is gone; ended ones are shown for so long.
SILENT = timedelta(hours=6)
SHOWN = timedelta(days=30)
_TOLD_EVERY_SECONDS = 0.5
_MOVING = (ImportState.WAITING, ImportState.FETCHING)

log = structlog.get_logger()


class GivenUp(Exception):
    """Somebody has deleted the import."""


@transaction.atomic
def import_create(
    *,
    department: Department,
    name: str,
    base_model: BaseModel,
    source: Mapping[str, Any],
    by: User,
    notes: str = "",
) -> AdapterImport:
    """Begin an import; it is carried out in the background.

    Raises:
        ValidationError: the name or the source is not as it should be, or too many imports are under way.
    """
    name_check(department, name, base_model)
    try:
        source_open(source, by, department)
    except SourceProblem as error:
        raise ValidationError({"source": str(error)}) from error
    if AdapterImport.objects.filter(department=department, state__in=_MOVING).count() >= MOST_MOVING:
        raise ValidationError(f"{MOST_MOVING} imports are under way already. Wait for one, or cancel one.")
    wish = AdapterImport.objects.create(
        department=department, name=name, base_model=base_model, source=dict(source), notes=notes, created_by=by
    )
    audit_record(action="adapter.import", target=name, by=by, department=department, source=dict(source))
    transaction.on_commit(lambda: import_request(str(wish.pk)))
    return wish


def import_delete(wish: AdapterImport) -> None:
    """Give an import up, or forget one that has ended; a version that it made stays."""
    wish.delete()


def import_run(import_id: str) -> None:
    """Carry an import out; twice does no harm, since only one of both makes a version of it."""
    taken = AdapterImport.objects.filter(pk=import_id, state__in=_MOVING)
    if taken.update(state=ImportState.FETCHING, arrived_bytes=0, size_bytes=0, moved_at=timezone.now()) != 1:
        return
    wish = AdapterImport.objects.select_related("department", "base_model", "created_by").get(pk=import_id)
    folder = config().home / "uploads" / f"importing-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        _bring(wish, folder)
    except GivenUp:
        log.info("import is given up", adapter=wish.name)
    except SourceProblem as error:
        _fail(wish, str(error))
    except ValidationError as error:
        _fail(wish, " ".join(error.messages))
    except OSError as error:
        log.warning("import has failed", adapter=wish.name, exc_info=True)
        _fail(wish, f"{error} Try again later." if not error.errno else f"It could not be copied: {error.strerror}.")
    except Exception:
        _fail(wish, "The platform has failed at it. Ask an admin to look at the worker's log.")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def imports_expire() -> None:
    """Call those failed whose worker is gone, and forget those that ended long ago."""
    now = timezone.now()
    AdapterImport.objects.filter(state__in=_MOVING, moved_at__lt=now - SILENT).update(
        state=ImportState.FAILED, problem="It was broken off. Begin it again.", moved_at=now
    )
    AdapterImport.objects.exclude(state__in=_MOVING).filter(moved_at__lt=now - SHOWN).delete()
    for folder in (config().home / "uploads").glob("importing-*"):
        if folder.stat().st_mtime < (now - SILENT).timestamp():
            shutil.rmtree(folder, ignore_errors=True)


def _bring(wish: AdapterImport, folder: Path) -> None:
    origin = source_open(wish.source, wish.created_by, wish.department)
    items = chosen(origin.items())
    total = sum(item.size for item in items)
    most = config().max_upload_bytes
    if total > most:
        raise SourceProblem(f"It has {total} bytes; this platform takes at most {most}.")
    with transaction.atomic():
        quota_claim(wish.department, more_bytes=total)
        AdapterImport.objects.filter(pk=wish.pk).update(size_bytes=total, moved_at=timezone.now())
    _copy(wish, origin, items, folder)
    with transaction.atomic():
        # First, since what it has announced counts until then.
        ended = AdapterImport.objects.filter(pk=wish.pk, state=ImportState.FETCHING)
        if ended.update(state=ImportState.DONE, arrived_bytes=total, moved_at=timezone.now()) != 1:
            raise GivenUp
        names = [item.name for item in items]
        version = adapter_upload(
            department=wish.department,
            name=wish.name,
            base_model=wish.base_model,
            files=[(name, folder / name) for name in names],
            by=wish.created_by,
            notes=wish.notes,
            source=origin.about(),
        )
        AdapterImport.objects.filter(pk=wish.pk).update(version=version)


def _copy(wish: AdapterImport, origin: Origin, items: list[Item], folder: Path) -> None:
    row = AdapterImport.objects.filter(pk=wish.pk, state=ImportState.FETCHING)
    arrived = 0
    said_at = 0.0
    for item in items:
        room = item.size

        def told(count: int) -> None:
            nonlocal arrived, said_at, room
            arrived += count
            room -= count
            if room < 0:
                raise SourceProblem("A file has grown while it was copied. Try again once it is whole.")
            if time.monotonic() - said_at > _TOLD_EVERY_SECONDS:
                said_at = time.monotonic()
                if not row.update(arrived_bytes=arrived, moved_at=timezone.now()):
                    raise GivenUp

        origin.bring(item, folder, told)
        if (folder / item.name).stat().st_size != item.size:
            raise SourceProblem(f"{item.name} has not come whole. Try again.")


def _fail(wish: AdapterImport, problem: str) -> None:
    AdapterImport.objects.filter(pk=wish.pk, state=ImportState.FETCHING).update(
        state=ImportState.FAILED, problem=problem[:2000], size_bytes=0, moved_at=timezone.now()
    )
