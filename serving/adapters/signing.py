"""Adds and removes the public keys with which a department's adapters must be signed."""

from django.core.exceptions import ValidationError
from django.db import transaction

from serving.adapters.examination.minisign import BadSignature, read_public_key
from serving.models import SigningKey
from tenants.audit import audit_record
from tenants.models import Department, User

MOST_KEYS = 50


@transaction.atomic
def signing_key_add(*, department: Department, name: str, public_key: str, by: User | None) -> SigningKey:
    """Add a key; from the first one on, what is not signed with one of them is refused.

    Args:
        public_key: the text of minisign.pub, or its second line.

    Raises:
        ValidationError: it is no such key, or there already.
    """
    try:
        key = read_public_key(public_key)
    except BadSignature as error:
        raise ValidationError({"public_key": str(error)}) from error
    line = public_key.strip().splitlines()[-1].strip()
    if department.signing_keys.filter(public_key=line).exists():
        raise ValidationError({"public_key": f"The department has the key {key.key_id} already."})
    if department.signing_keys.count() >= MOST_KEYS:
        raise ValidationError({"public_key": f"A department can have {MOST_KEYS} keys at most."})
    added = SigningKey(department=department, name=name, key_id=key.key_id, public_key=line, created_by=by)
    added.clean_fields(exclude=["created_by"])
    added.save()
    audit_record(action="signing_key.add", target=name, by=by, department=department, key_id=key.key_id)
    return added


@transaction.atomic
def signing_key_remove(*, key: SigningKey, by: User | None) -> None:
    """Remove a key; without any, adapters need no signature. Versions that it signed stay as they are."""
    audit_record(action="signing_key.remove", target=key.name, by=by, department=key.department, key_id=key.key_id)
    key.delete()
