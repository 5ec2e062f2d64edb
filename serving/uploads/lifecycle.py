"""Begins, continues, uses and ends uploads that come in pieces."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from polygraft.conf import config
from serving.adapters.quotas import quota_claim
from serving.models import Upload
from tenants.models import Department, User

# An upload that was broken off may be taken up again for so long after its last piece.
KEPT = timedelta(hours=24)
# Of one department at one time: an adapter has two files.
MOST_OPEN = 100
_LONGEST_NAME_BYTES = 200


def upload_create(*, department: Department, file_name: str, size_bytes: int, by: User) -> Upload:
    """Begin an upload of `size_bytes`.

    Raises:
        ValidationError: the size is over the limit, the name cannot be a file's, or too many uploads are open.
        BytesExceeded: the department's quota has no room for it.
    """
    most = config().max_upload_bytes
    name = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    if not 0 < size_bytes <= most:
        raise ValidationError({"size": f"The file has {size_bytes} bytes; this platform takes 1 to {most}."})
    if name in ("", ".", "..") or "\0" in name or len(name.encode()) > _LONGEST_NAME_BYTES:
        raise ValidationError({"filename": f"A file cannot be called {file_name[:100]!r}."})
    if Upload.objects.filter(department=department).count() >= MOST_OPEN:
        raise ValidationError(f"{department} has {MOST_OPEN} unfinished uploads. Finish or delete some first.")
    with transaction.atomic():
        quota_claim(department, more_bytes=size_bytes)
        upload = Upload.objects.create(department=department, file_name=name, size_bytes=size_bytes, created_by=by)
    path = upload_path(upload)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(exist_ok=False)
    return upload


def arriving_path(upload_id: str) -> Path:
    """Where the bytes of an upload of this id arrive."""
    return config().home / "uploads" / "arriving" / upload_id


def upload_path(upload: Upload) -> Path:
    """Where its bytes arrive."""
    return arriving_path(str(upload.pk))


def upload_offset(upload: Upload) -> int:
    """How many of its bytes have arrived; 0 when the file is lost, so that it is sent again."""
    try:
        return upload_path(upload).stat().st_size
    except FileNotFoundError:
        return 0


def upload_delete(upload: Upload) -> None:
    """Give an upload up, or forget one that has been used."""
    path = upload_path(upload)
    upload.delete()
    transaction.on_commit(lambda: path.unlink(missing_ok=True))


def uploads_complete(department: Department, ids: Sequence[str]) -> list[Upload]:
    """The department's uploads of these ids, in their order.

    Raises:
        ValidationError: one is unknown in the department, or has not arrived whole.
    """
    found = {str(upload.pk): upload for upload in Upload.objects.filter(department=department, pk__in=ids)}
    for wanted in ids:
        upload = found.get(wanted)
        if upload is None:
            raise ValidationError({"uploads": f"There is no upload {wanted} in this department, or not any more."})
        offset = upload_offset(upload)
        if offset != upload.size_bytes:
            raise ValidationError(
                {"uploads": f"{upload.file_name} has not arrived whole: {offset} of {upload.size_bytes} bytes."}
            )
    return [found[wanted] for wanted in ids]


def uploads_expire() -> None:
    """Delete the uploads whose last piece came too long ago."""
    oldest = timezone.now() - KEPT
    for upload in Upload.objects.filter(created_at__lt=oldest):
        path = upload_path(upload)
        if not path.exists() or path.stat().st_mtime < oldest.timestamp():
            upload_delete(upload)
