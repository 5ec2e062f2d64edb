"""The management API's view of what the platform decided and noticed."""

from rest_framework import generics

from serving.api.serializers import PlatformEventSerializer
from serving.models import PlatformEvent
from tenants.access import Right
from tenants.api.scoping import PlatformView


class EventList(PlatformView, generics.ListAPIView[PlatformEvent]):
    """What happened, the newest first."""

    rights = {"GET": Right.PLATFORM_VIEW}
    serializer_class = PlatformEventSerializer
    queryset = PlatformEvent.objects.select_related("base_model", "node", "department", "adapter")
    filterset_fields = {
        "kind": ["exact", "startswith"],
        "is_problem": ["exact"],
        "base_model__name": ["exact"],
        "deployment": ["exact"],
        "engine": ["exact"],
        "node__name": ["exact"],
        "department__slug": ["exact"],
        "adapter__name": ["exact"],
        "last_at": ["gte", "lt"],
    }
    search_fields = ["sentence"]
    ordering_fields = ["last_at", "at"]
