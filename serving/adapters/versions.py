"""Changes what may change of a version: its notes, and whether retention must keep it."""

from django.db import transaction

from serving.models import AdapterVersion
from tenants.audit import audit_record
from tenants.models import User


@transaction.atomic
def version_describe(
    *, version: AdapterVersion, by: User | None, notes: str | None = None, keep: bool | None = None
) -> None:
    """Change a version's notes or its mark "keep"; None leaves either as it is."""
    wished = {"notes": notes, "keep": keep}
    before = {name: getattr(version, name) for name in wished}
    changed = {name: value for name, value in wished.items() if value is not None and value != before[name]}
    if not changed:
        return
    AdapterVersion.objects.filter(pk=version.pk).update(**changed)
    for name, value in changed.items():
        setattr(version, name, value)
    audit_record(
        action="adapter_version.describe",
        target=f"{version.adapter.name}:{version.number}",
        by=by,
        department=version.adapter.department,
        before={name: before[name] for name in changed},
        after=changed,
    )
