"""Takes in what people thought of an answer."""

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from serving.models import Feedback, Rating, UsageRecord

# A caller's own request id is the beginning of its record's, cut to this length (`serving.gateway.call`).
_CALLERS_SHARE_OF_THE_ID = 36


def feedback_give(
    *, department_id: int, request_id: str, rating: int, comment: str, key_id: int | None, user_id: int | None
) -> bool:
    """Keep a thumb for an answer, in place of an earlier one.

    Args:
        request_id: as the answer's header `x-request-id` says it. Of several requests to which their caller gave the
            same id, the latest is meant.

    Returns:
        False when the department has no record of such a request.
    """
    record = (
        UsageRecord.objects.filter(_named(request_id), department=department_id, endpoint__startswith="/v1/")
        .exclude(model="")
        .order_by("-at")
        .first()
    )
    if record is None:
        return False
    with transaction.atomic():
        Feedback.objects.update_or_create(
            request_id=record.request_id,
            defaults={
                "department_id": department_id,
                "adapter_version_id": record.adapter_version_id,
                "key_id": key_id,
                "user_id": user_id,
                "rating": Rating(rating),
                "comment": comment,
                "at": timezone.now(),
            },
        )
    return True


def _named(request_id: str) -> Q:
    beginning = f"{request_id[:_CALLERS_SHARE_OF_THE_ID]}."
    if connection.vendor == "sqlite":
        # Only a range uses the index there, and "/" is what comes after "."; elsewhere the order may be a language's.
        return Q(request_id=request_id) | Q(request_id__gt=beginning, request_id__lt=f"{beginning[:-1]}/")
    return Q(request_id=request_id) | Q(request_id__startswith=beginning)
