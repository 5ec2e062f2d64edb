"""Routes of the management API: base models, adapters, deployments, engines, nodes, events, plans, usage."""

from django.urls import path

from serving.api import (
    adapter_views,
    comparison_views,
    engine_views,
    event_views,
    import_views,
    placement_views,
    plan_views,
    platform_views,
    quota_views,
    residency_views,
    retention_views,
    rollout_views,
    share_views,
    signing_views,
    upload_views,
    usage_views,
    version_views,
)

_ADAPTERS = "departments/<str:slug>/adapters"
_VERSION = f"{_ADAPTERS}/<str:name>/versions/<int:number>"
_COMPARISONS = f"{_ADAPTERS}/<str:name>/comparisons"
_UPLOADS = "departments/<str:slug>/uploads"

urlpatterns = [
    path("base-models", platform_views.BaseModelList.as_view(), name="api-base-models"),
    path("base-models/<str:name>", platform_views.BaseModelDetail.as_view(), name="api-base-model"),
    path("deployments", platform_views.DeploymentList.as_view(), name="api-deployments"),
    path("deployments/<int:pk>", platform_views.DeploymentDetail.as_view(), name="api-deployment"),
    path(
        "deployments/<int:pk>/residency",
        residency_views.DeploymentResidency.as_view(),
        name="api-deployment-residency",
    ),
    path(
        "deployments/<int:pk>/start-again",
        platform_views.DeploymentStartAgain.as_view(),
        name="api-deployment-start-again",
    ),
    path("engines", engine_views.EngineList.as_view(), name="api-engines"),
    path("engines/<uuid:pk>", engine_views.EngineDetail.as_view(), name="api-engine"),
    path("engines/<uuid:pk>/log", engine_views.EngineLog.as_view(), name="api-engine-log"),
    path("nodes", engine_views.NodeList.as_view(), name="api-nodes"),
    path("nodes/<str:name>", engine_views.NodeDetail.as_view(), name="api-node"),
    path("events", event_views.EventList.as_view(), name="api-events"),
    path(_ADAPTERS, adapter_views.AdapterList.as_view(), name="api-adapters"),
    path(f"{_ADAPTERS}/<str:name>", adapter_views.AdapterDetail.as_view(), name="api-adapter"),
    path(f"{_ADAPTERS}/<str:name>/rollout", rollout_views.AdapterRollout.as_view(), name="api-rollout"),
    path(f"{_ADAPTERS}/<str:name>/rollout/rollback", rollout_views.AdapterRollback.as_view(), name="api-rollback"),
    path(f"{_ADAPTERS}/<str:name>/rollout/history", rollout_views.RolloutHistory.as_view(), name="api-rollout-history"),
    path(f"{_ADAPTERS}/<str:name>/numbers", rollout_views.VersionNumbersView.as_view(), name="api-version-numbers"),
    path(f"{_ADAPTERS}/<str:name>/feedback", rollout_views.FeedbackList.as_view(), name="api-feedback"),
    path(f"{_ADAPTERS}/<str:name>/uses", version_views.AdapterUses.as_view(), name="api-adapter-uses"),
    path(f"{_ADAPTERS}/<str:name>/archive", version_views.AdapterArchive.as_view(), name="api-adapter-archive"),
    path(f"{_ADAPTERS}/<str:name>/restore", version_views.AdapterRestore.as_view(), name="api-adapter-restore"),
    path(f"{_ADAPTERS}/<str:name>/differences", version_views.Differences.as_view(), name="api-differences"),
    path(_VERSION, version_views.VersionDetail.as_view(), name="api-version"),
    path(f"{_VERSION}/archive", version_views.VersionArchive.as_view(), name="api-version-archive"),
    path(f"{_VERSION}/restore", version_views.VersionRestore.as_view(), name="api-version-restore"),
    path(f"{_ADAPTERS}/<str:name>/shares", share_views.ShareList.as_view(), name="api-shares"),
    path(f"{_ADAPTERS}/<str:name>/shares/<str:receiver>", share_views.ShareDetail.as_view(), name="api-share"),
    path("departments/<str:slug>/retention", retention_views.DepartmentRetention.as_view(), name="api-retention"),
    path("departments/<str:slug>/signing-keys", signing_views.SigningKeyList.as_view(), name="api-signing-keys"),
    path(
        "departments/<str:slug>/signing-keys/<int:pk>",
        signing_views.SigningKeyDetail.as_view(),
        name="api-signing-key",
    ),
    path("retention", retention_views.PlatformRetention.as_view(), name="api-platform-retention"),
    path("departments/<str:slug>/shared", share_views.SharedList.as_view(), name="api-shared"),
    path(
        "departments/<str:slug>/shared/<str:owner>/<str:name>",
        share_views.SharedDetail.as_view(),
        name="api-shared-adapter",
    ),
    path(f"{_ADAPTERS}/<str:name>/placement", placement_views.AdapterPlacement.as_view(), name="api-adapter-placement"),
    path(
        "departments/<str:slug>/placement",
        placement_views.DepartmentPlacement.as_view(),
        name="api-department-placement",
    ),
    path(_COMPARISONS, comparison_views.ComparisonList.as_view(), name="api-comparisons"),
    path(f"{_COMPARISONS}/<uuid:pk>", comparison_views.ComparisonDetail.as_view(), name="api-comparison"),
    path(f"{_COMPARISONS}/<uuid:pk>/cancel", comparison_views.ComparisonCancel.as_view(), name="api-comparison-cancel"),
    path(
        f"{_COMPARISONS}/<uuid:pk>/run-again",
        comparison_views.ComparisonRunAgain.as_view(),
        name="api-comparison-run-again",
    ),
    path(
        f"{_COMPARISONS}/<uuid:pk>/results",
        comparison_views.ComparisonResults.as_view(),
        name="api-comparison-results",
    ),
    path(
        "departments/<str:slug>/comparison-policy",
        comparison_views.DepartmentComparisonPolicy.as_view(),
        name="api-comparison-policy",
    ),
    path("departments/<str:slug>/imports", import_views.ImportList.as_view(), name="api-imports"),
    path("departments/<str:slug>/imports/<uuid:pk>", import_views.ImportDetail.as_view(), name="api-import"),
    path("departments/<str:slug>/sources", import_views.SourceList.as_view(), name="api-sources"),
    path("departments/<str:slug>/quotas", quota_views.Quotas.as_view(), name="api-quotas"),
    path("plan", plan_views.PlanView.as_view(), name="api-plan"),
    path(_UPLOADS, upload_views.UploadList.as_view(), name="api-uploads"),
    path(f"{_UPLOADS}/<uuid:pk>", upload_views.UploadDetail.as_view(), name="api-upload"),
    path("usage", usage_views.UsageView.as_view(), name="api-usage"),
]
