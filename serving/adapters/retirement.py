"""Takes adapters and versions out of service, brings them back, and deletes them.

| | calls | engines | bytes | back? |
|---|---|---|---|---|
| archived | 404 within a second | let go | kept | restore |
| deleted | 404 within a second | let go | leave the store, then each node | no |
"""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from polygraft.live import Change, announce
from serving.background import release_request
from serving.models import Adapter, AdapterVersion, Feedback, VersionState
from tenants.audit import audit_record
from tenants.models import User


@transaction.atomic
def version_archive(*, version: AdapterVersion, by: User | None, because: str = "") -> None:
    """Take a version out of service and keep its bytes.

    Args:
        because: retention's reason; empty for a person.

    Raises:
        ValidationError: it is not ready, or the bare name leads to it.
    """
    _refuse_rolled_out(version, "archived")
    _move(
        version,
        (VersionState.READY,),
        VersionState.ARCHIVED,
        archived_at=timezone.now(),
        archived_because=because,
    )
    _audit(version, "adapter_version.archive", by, because)


@transaction.atomic
def version_restore(*, version: AdapterVersion, by: User | None) -> None:
    """Bring an archived version back: it can be called by its number, and rolled out, within seconds.

    Raises:
        ValidationError: it is not archived.
    """
    _move(version, (VersionState.ARCHIVED,), VersionState.READY, archived_at=None, archived_because="")
    _audit(version, "adapter_version.restore", by)


@transaction.atomic
def version_delete(*, version: AdapterVersion, by: User | None, because: str = "") -> None:
    """Delete a version for good; its number, report and usage stay, its bytes go.

    Args:
        because: retention's reason; empty for a person.

    Raises:
        ValidationError: the bare name leads to it, it is being validated, or it is deleted already.
    """
    _refuse_rolled_out(version, "deleted")
    _move(
        version,
        (VersionState.READY, VersionState.ARCHIVED, VersionState.REJECTED),
        VersionState.DELETED,
        deleted_at=timezone.now(),
    )
    _audit(version, "adapter_version.delete", by, because)
    transaction.on_commit(release_request)


@transaction.atomic
def adapter_archive(*, adapter: Adapter, by: User | None) -> None:
    """Take an adapter out of service with all its versions; rollout and shares are as before once it is restored."""
    if Adapter.objects.in_service().filter(pk=adapter.pk).update(archived_at=timezone.now()) != 1:
        return
    audit_record(action="adapter.archive", target=adapter.name, by=by, department=adapter.department)
    transaction.on_commit(lambda: announce(Change.MODELS, Change.WORK))


@transaction.atomic
def adapter_restore(*, adapter: Adapter, by: User | None) -> None:
    """Bring an archived adapter back; it answers as soon as engines have loaded it again."""
    if Adapter.objects.alive().filter(pk=adapter.pk, archived_at__isnull=False).update(archived_at=None) != 1:
        return
    audit_record(action="adapter.restore", target=adapter.name, by=by, department=adapter.department)
    transaction.on_commit(lambda: announce(Change.MODELS, Change.WORK))


@transaction.atomic
def adapter_delete(*, adapter: Adapter, by: User | None) -> None:
    """Delete an adapter: new requests get 404 within a second, running ones finish, engines then let go of it.

    Its bytes leave the store, unless another adapter has the same. Its comparisons go with it, prompts and answers, and
    the comments on what it answered.
    """
    if Adapter.objects.alive().filter(pk=adapter.pk).update(deleted_at=timezone.now()) != 1:
        return
    adapter.comparisons.all().delete()
    Feedback.objects.filter(adapter_version__adapter=adapter).exclude(comment="").update(comment="")
    audit_record(action="adapter.delete", target=adapter.name, by=by, department=adapter.department)
    transaction.on_commit(lambda: announce(Change.MODELS, Change.WORK))
    transaction.on_commit(release_request)


def _refuse_rolled_out(version: AdapterVersion, what: str) -> None:
    # The row's lock keeps a rollout from coming in between.
    adapter = Adapter.objects.select_for_update().get(pk=version.adapter_id)
    share = adapter.weights.get(version.number)
    if share:
        raise ValidationError(
            f"Version {version.number} answers {share} % of {adapter.name}'s requests, so it cannot be {what}. "
            "Roll another version out first."
        )


def _move(version: AdapterVersion, before: tuple[VersionState, ...], after: VersionState, **fields: object) -> None:
    moved = AdapterVersion.objects.filter(pk=version.pk, state__in=before).update(state=after, **fields)
    if moved != 1:
        state = AdapterVersion.objects.values_list("state", flat=True).get(pk=version.pk)
        raise ValidationError(f"Version {version.number} is {state}, so it cannot become {after.value}.")
    version.refresh_from_db()
    transaction.on_commit(lambda: announce(Change.MODELS, Change.WORK))


def _audit(version: AdapterVersion, action: str, by: User | None, because: str = "") -> None:
    audit_record(
        action=action,
        target=f"{version.adapter.name}:{version.number}",
        by=by,
        department=version.adapter.department,
        **({"because": because} if because else {}),
    )
