"""How many bytes and adapters a department may hold, and how much of that it uses.

Bytes are those of the versions' own files, of every version that is neither rejected nor deleted, archived ones
included, each counted by itself; and those that uploads and imports under way have announced.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, F, Sum
from django.template.defaultfilters import filesizeformat

from polygraft.refusal import Refusal
from serving.models import Adapter, AdapterImport, AdapterVersion, ImportState, Upload, VersionState
from tenants.models import Department


class BytesExceeded(Refusal):
    """More bytes than the department's quota has room for."""

    status = 413
    problem_code = "quota_exceeded"


class AdaptersExceeded(Refusal):
    """One adapter more than the department's quota allows."""

    problem_code = "quota_exceeded"


@dataclass(frozen=True, slots=True)
class Use:
    """What a department holds."""

    bytes: int
    adapters: int


def quota_use(department: Department) -> Use:
    """What a department holds now, and has announced."""
    return quota_uses([department])[department.pk]


def quota_uses(departments: Iterable[Department]) -> dict[int, Use]:
    """The same of several departments, by primary key, in four queries."""
    keys = [department.pk for department in departments]
    held = (
        AdapterVersion.objects.filter(adapter__department__in=keys, adapter__deleted_at=None)
        .exclude(state__in=[VersionState.REJECTED, VersionState.DELETED])
        .annotate(holder=F("adapter__department"))
    )
    coming = (
        Upload.objects.filter(department__in=keys),
        AdapterImport.objects.filter(department__in=keys, state=ImportState.FETCHING),
    )
    sizes: Counter[int] = Counter()
    for rows in (held, *(some.annotate(holder=F("department")) for some in coming)):
        sizes.update(dict(rows.order_by().values_list("holder").annotate(size=Sum("size_bytes"))))
    adapters = Adapter.objects.alive().filter(department__in=keys).order_by().values_list("department")
    counts = dict(adapters.annotate(count=Count("pk")))
    return {key: Use(bytes=sizes[key], adapters=counts.get(key, 0)) for key in keys}


def quota_claim(department: Department, *, more_bytes: int = 0, more_adapters: int = 0) -> None:
    """Make sure that so much more fits, within a transaction that then takes the room; claims wait for each other.

    Raises:
        BytesExceeded, AdaptersExceeded: it does not fit.
    """
    quota_check(Department.objects.select_for_update().get(pk=department.pk), more_bytes, more_adapters)


def quota_check(department: Department, more_bytes: int, more_adapters: int = 0) -> None:
    """Say whether so much more fits, as things stand; errors as of `quota_claim`."""
    if department.quota_bytes is None and department.quota_adapters is None:
        return
    use = quota_use(department)
    if more_bytes and department.quota_bytes is not None and use.bytes + more_bytes > department.quota_bytes:
        raise BytesExceeded(
            f"{department.name} may hold {_size(department.quota_bytes)} of adapters and holds {_size(use.bytes)}; "
            f"this needs {_size(more_bytes)} more. Delete versions that are no longer needed, or ask an admin for a "
            "larger quota."
        )
    if more_adapters and department.quota_adapters is not None and use.adapters >= department.quota_adapters:
        raise AdaptersExceeded(
            f"{department.name} may have {department.quota_adapters} adapters and has {use.adapters}. Upload a "
            "version of one of them, delete one that is no longer needed, or ask an admin for a larger quota."
        )


def _size(count: int) -> str:
    return filesizeformat(count).replace("\N{NO-BREAK SPACE}", " ")
