"""The way of an upload: staged, numbered, checked, stored, converted; what fails is refused with a report."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max

from polygraft.conf import config
from serving.adapters.convert_gguf import convert
from serving.adapters.examination.base_spec import UnsupportedBase
from serving.adapters.examination.process import Bounds, Examination, examine_apart
from serving.adapters.examination.report import Report
from serving.adapters.lifecycle import (
    version_claim,
    version_reject,
    version_stored,
    version_waits,
    versions_release_unprobed,
)
from serving.adapters.quotas import BytesExceeded, quota_claim
from serving.adapters.reading.limits import MIB, Limits
from serving.adapters.store.files import adapter_store, gguf_name, stage_files, upload_folder
from serving.adapters.store.store_errors import StoreUnavailable
from serving.background import intake_request
from serving.base_models import base_spec
from serving.events import event_record
from serving.models import Adapter, AdapterVersion, BaseModel, Upload
from serving.uploads.lifecycle import upload_delete, upload_path
from tenants.audit import audit_record
from tenants.models import Department, User

log = structlog.get_logger()


def adapter_upload(
    *,
    department: Department,
    name: str,
    base_model: BaseModel,
    files: Sequence[tuple[str, BinaryIO | Path]],
    by: User | None,
    notes: str = "",
    uploads: Sequence[Upload] = (),
    source: dict[str, Any] | None = None,
) -> AdapterVersion:
    """Take files in as the next version of an adapter, new or existing; validation follows in the background.

    Args:
        files: client name and content of each file; a path in the state folder for one that has arrived already.
        uploads: complete ones, whose files are used too; they are forgotten with it.
        source: where it came from, kept with the version; left out, by an upload.

    Raises:
        ValidationError: the name is malformed, the adapter exists on another base model, or the files cannot be kept.
        BytesExceeded, AdaptersExceeded: the department's quotas have no room for it.
    """
    name_check(department, name, base_model)
    try:
        staged = stage_files([*files, *((upload.file_name, upload_path(upload)) for upload in uploads)])
    except ValueError as error:
        raise ValidationError({"files": str(error)}) from error
    try:
        with transaction.atomic():
            # First, since what they have announced counts until then.
            for upload in uploads:
                upload_delete(upload)
            size = sum(file.stat().st_size for file in staged.iterdir())
            is_new = not department.adapters.alive().filter(name=name).exists()
            quota_claim(department, more_bytes=size, more_adapters=int(is_new))
            version = _next_version(department, name, base_model, by, notes)
            version.size_bytes = size
            version.source = source or {"kind": "upload"}
            version.save(update_fields=["size_bytes", "source"])
            waiting = upload_folder(version.pk)
            # A folder of this number is left from an upload whose transaction failed, so nothing refers to it.
            shutil.rmtree(waiting, ignore_errors=True)
            staged.rename(waiting)
            transaction.on_commit(lambda: intake_request(version.pk))
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return version


def version_take_in(version_id: int) -> None:
    """Check an uploaded version, then store and convert it, or refuse it with a report; twice does no harm.

    Raises:
        StoreUnavailable: the store is away. The version says so, and can be taken in again.
    """
    version = version_claim(version_id)
    if version is None:
        return
    try:
        _take_in(version)
    except StoreUnavailable as error:
        version_waits(version, words="The store of adapters is away. This is tried again every few minutes.")
        event_record(kind="store.away", sentence=f"Uploads wait for the store: {error}", is_problem=True)
        raise


def _take_in(version: AdapterVersion) -> None:
    upload = upload_folder(version.pk)
    with tempfile.TemporaryDirectory(dir=config().home / "tmp", prefix="intake-") as scratch:
        report = _examine(version, upload, Path(scratch))
        accepted = report["ok"]
        if accepted:
            folder = Path(scratch) / "adapter"
            size = sum(file.stat().st_size for file in folder.iterdir())
            refusal = _claim_growth(version, size)
            if refusal is not None:
                version_reject(version, report={**report, **refusal})
                shutil.rmtree(upload, ignore_errors=True)
                return
            # The same bytes of a deleted version may be let go of just now.
            while not version_stored(version, digest=_keep(version, folder), size_bytes=size, report=report):
                pass
            versions_release_unprobed()
        else:
            version_reject(version, report=report)
    shutil.rmtree(upload, ignore_errors=True)
    log.info("adapter version is examined", version=str(version), accepted=accepted)


def _claim_growth(version: AdapterVersion, size: int) -> dict[str, Any] | None:
    """Claim what an archive unpacks to beyond its own size; the findings that refuse it if there is no room."""
    try:
        with transaction.atomic():
            quota_claim(version.adapter.department, more_bytes=max(0, size - version.size_bytes))
            AdapterVersion.objects.filter(pk=version.pk).update(size_bytes=size)
    except BytesExceeded as error:
        report = Report()
        report.error(
            "quota",
            f"Unpacked, the adapter has {size} bytes, and the department's quota has no room for them.",
            advice=error.messages[0],
        )
        return {"ok": False, "findings": report.as_json()["findings"]}
    return None


def _examine(version: AdapterVersion, upload: Path, scratch: Path) -> dict[str, Any]:
    base_model = version.adapter.base_model
    settings = config()
    limits = Limits(
        total_bytes=settings.max_upload_bytes, file_bytes=settings.max_upload_bytes, max_rank=settings.max_lora_rank
    )
    try:
        base = base_spec(base_model)
    except UnsupportedBase as error:
        report = Report()
        report.error("base model", str(error), advice="Ask the platform's admins to look at this base model's files.")
        return report.as_json()
    bounds = Bounds(seconds=settings.intake_seconds, memory_bytes=settings.intake_memory_mib * MIB)
    aliases = (base_model.source, base_model.name)
    keys = tuple(version.adapter.department.signing_keys.values_list("public_key", flat=True))
    return examine_apart(Examination(upload, scratch / "adapter", base, limits, bounds, aliases, keys))


def _keep(version: AdapterVersion, folder: Path) -> str:
    store = adapter_store()
    digest = store.put(folder)
    base_model = version.adapter.base_model
    name = gguf_name(base_model.name)
    if not store.holds_derived(digest, name):
        made = folder.parent / name
        convert(folder, base_spec(base_model), made)
        store.put_derived(digest, name, made)
    return digest


def name_check(department: Department, name: str, base_model: BaseModel) -> None:
    """Raise ValidationError for what no version of this name and base model may be called in this department."""
    # Checked before the bytes are staged: a wrong name should not cost the caller an upload of gigabytes twice.
    Adapter(department=department, name=name, base_model=base_model).clean_fields()
    if BaseModel.objects.filter(name=name).exists():
        raise ValidationError({"name": f"{name} is the name of a base model. Choose another name."})
    existing = Adapter.objects.alive().filter(department=department, name=name).select_related("base_model").first()
    if existing is not None and existing.archived_at is not None:
        raise ValidationError({"name": f"{name} is archived. Restore it before you upload a version."})
    if existing is not None and existing.base_model_id != base_model.pk:
        raise ValidationError(
            {
                "base_model": f"{name} is an adapter for {existing.base_model}. A version for {base_model} needs "
                "an adapter of its own, under another name."
            }
        )


def _next_version(
    department: Department, name: str, base_model: BaseModel, by: User | None, notes: str
) -> AdapterVersion:
    adapter, created = Adapter.objects.alive().get_or_create(
        department=department, name=name, deleted_at=None, defaults={"base_model": base_model}
    )
    # The row's lock numbers two uploads of one name one after the other.
    Adapter.objects.select_for_update().get(pk=adapter.pk)
    latest = adapter.versions.aggregate(Max("number"))["number__max"] or 0
    version = AdapterVersion.objects.create(adapter=adapter, number=latest + 1, uploaded_by=by, notes=notes)
    if created:
        audit_record(action="adapter.create", target=name, by=by, department=department, base_model=base_model.name)
    audit_record(action="adapter_version.upload", target=f"{name}:{version.number}", by=by, department=department)
    return version
