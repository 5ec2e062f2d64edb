"""The console's first page: what is there, what it does, and what to do next."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, OuterRef, Prefetch, Q, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from polygraft.answers import person
from serving.console.attention import department_concerns, platform_concerns
from serving.console.callables import callables_of, example_of
from serving.console.engine_rows import Registry, engine_rows, registry
from serving.console.period import period
from serving.models import Adapter, AdapterVersion, BaseModel, Engine, EngineState, UsageRecord, VersionState
from tenants.access import Right, may
from tenants.models import APIKey, AuditEvent, Department, User

_SHOWN = 8


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """The platform's state for admins and auditors; their own departments' for members."""
    user = person(request)
    visible = Department.objects.visible_to(user)
    records = UsageRecord.objects.all()
    if not user.sees_every_department:
        records = records.filter(department__in=visible.values("pk"))
    context: dict[str, Any] = {
        "period": period(records, hours=24),
        "departments": _departments(user)[:_SHOWN],
    }
    if may(user, Right.PLATFORM_VIEW):
        known = registry()
        context["concerns"] = [*platform_concerns(known), *department_concerns(visible)]
        return render(request, "serving/overview_platform.html", {**context, **_platform(known)})
    context["concerns"] = department_concerns(visible)
    department = visible.first()
    models = callables_of(department) if department else []
    context |= {"department_count": visible.count(), "first_department": department, "example": example_of(models)}
    return render(request, "serving/overview_member.html", context)


def _departments(user: User) -> list[Department]:
    newest = AdapterVersion.objects.filter(adapter=OuterRef("pk")).order_by("-number").values("state")[:1]
    adapters = Adapter.objects.alive().select_related("base_model", "rollout").annotate(newest_state=Subquery(newest))
    return list(
        Department.objects.filter(pk__in=Department.objects.visible_to(user).values("pk"))
        .annotate(
            request_count=Count("usage_records", filter=Q(usage_records__at__gte=timezone.now() - timedelta(days=1)))
        )
        .order_by("-request_count", "name")
        .prefetch_related(Prefetch("adapters", adapters, to_attr="living_adapters"))[:_SHOWN]
    )


def _platform(known: Registry) -> dict[str, object]:
    engines = Engine.objects.living().select_related("node", "deployment__base_model")
    failed = Engine.objects.filter(
        state=EngineState.FAILED, ended_at__gte=timezone.now() - timedelta(hours=1)
    ).select_related("node", "deployment__base_model")
    rows = engine_rows([*engines[:_SHOWN], *failed[:3]], known)
    return {
        "engine_rows": rows,
        "ready_count": sum(row.state == EngineState.READY for row in rows),
        "registry_is_away": known.is_away,
        "base_models": BaseModel.objects.annotate(
            adapter_count=Count("adapters", filter=Q(adapters__deleted_at=None), distinct=True)
        )[:_SHOWN],
        "ready_engines": known.ready_by_base_model(),
        "events": AuditEvent.objects.select_related("department")[:_SHOWN],
        "department_count": Department.objects.count(),
        "adapter_count": Adapter.objects.alive().count(),
        "ready_version_count": Adapter.objects.alive().filter(versions__state=VersionState.READY).distinct().count(),
        "has_keys": APIKey.objects.exists(),
    }
