"""Routes of the console: overview, adapters, playground, usage, engines, events, base models."""

from django.urls import path

from serving.console import (
    adapters,
    base_models,
    comparisons,
    deployments,
    differences,
    engine_page,
    engines,
    events,
    limits,
    node_page,
    overview,
    placements,
    plan,
    playground,
    residency,
    rollouts,
    shares,
    upload,
    usage,
    versions,
)

_VERSION = "departments/<str:slug>/adapter/<str:name>/version/<int:number>"
_COMPARISONS = "departments/<str:slug>/adapter/<str:name>/comparisons"

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("departments/<str:slug>/", adapters.adapter_list, name="department"),
    path("departments/<str:slug>/adapters/upload/", upload.upload, name="adapter-upload"),
    # "adapter", not "adapters": an adapter may be called "upload".
    path("departments/<str:slug>/adapter/<str:name>/", adapters.adapter_page, name="adapter"),
    path(
        "departments/<str:slug>/adapter/<str:name>/rollout/<int:number>/",
        rollouts.adapter_rollout,
        name="adapter-rollout",
    ),
    path("departments/<str:slug>/adapter/<str:name>/rollout/back/", rollouts.rollout_rollback, name="rollout-rollback"),
    path(
        "departments/<str:slug>/adapter/<str:name>/rollout/history/", rollouts.rollout_history, name="rollout-history"
    ),
    path("departments/<str:slug>/adapter/<str:name>/numbers/", rollouts.adapter_numbers, name="adapter-numbers"),
    path("departments/<str:slug>/adapter/<str:name>/feedback/", rollouts.feedback_list, name="feedback-list"),
    path("departments/<str:slug>/adapter/<str:name>/archive/", versions.adapter_archiving, name="adapter-archive"),
    path("departments/<str:slug>/adapter/<str:name>/restore/", versions.adapter_restoring, name="adapter-restore"),
    path(
        "departments/<str:slug>/adapter/<str:name>/differences/",
        differences.version_differences,
        name="version-differences",
    ),
    path(f"{_VERSION}/notes/", versions.version_notes, name="version-notes"),
    path(f"{_VERSION}/archive/", versions.version_archiving, name="version-archive"),
    path(f"{_VERSION}/restore/", versions.version_restoring, name="version-restore"),
    path(f"{_VERSION}/delete/", versions.version_deletion, name="version-delete"),
    path("departments/<str:slug>/adapter/<str:name>/delete/", adapters.adapter_deletion, name="adapter-delete"),
    path("departments/<str:slug>/adapter/<str:name>/shares/", shares.adapter_shares, name="adapter-shares"),
    path("departments/<str:slug>/adapter/<str:name>/shares/new/", shares.adapter_share_new, name="adapter-share-new"),
    path(
        "departments/<str:slug>/adapter/<str:name>/shares/<str:receiver>/revoke/",
        shares.adapter_share_revoke,
        name="adapter-share-revoke",
    ),
    path("departments/<str:slug>/shared/", shares.shared_list, name="shared-list"),
    path("departments/<str:slug>/shared/<str:owner>/<str:name>/", shares.shared_adapter, name="shared-adapter"),
    path(f"{_COMPARISONS}/", comparisons.comparison_list, name="comparison-list"),
    path(f"{_COMPARISONS}/new/", comparisons.comparison_new, name="comparison-new"),
    path(f"{_COMPARISONS}/<uuid:pk>/", comparisons.comparison_page, name="comparison"),
    path(f"{_COMPARISONS}/<uuid:pk>/cancel/", comparisons.comparison_cancellation, name="comparison-cancel"),
    path(f"{_COMPARISONS}/<uuid:pk>/delete/", comparisons.comparison_deletion, name="comparison-delete"),
    path(
        "departments/<str:slug>/comparison-policy/",
        comparisons.department_comparison_policy,
        name="comparison-policy",
    ),
    path("departments/<str:slug>/placement/", placements.department_placement, name="department-placement"),
    path(
        "departments/<str:slug>/adapter/<str:name>/placement/", placements.adapter_placement, name="adapter-placement"
    ),
    path("departments/<str:slug>/usage/", usage.usage, name="usage"),
    path("departments/<str:slug>/limits/", limits.department_limits, name="department-limits"),
    path("departments/<str:slug>/limits/change/", limits.department_limits_change, name="department-limits-change"),
    path("departments/<str:slug>/weight/", limits.department_weight, name="department-weight"),
    path("departments/<str:slug>/keys/<int:pk>/limits/", limits.key_limits_change, name="key-limits-change"),
    path("limits/", limits.platform_limits, name="platform-limits"),
    path("limits/change/", limits.platform_limits_change, name="platform-limits-change"),
    path("departments/<str:slug>/try/", playground.try_models, name="try"),
    path("departments/<str:slug>/try/ticket", playground.try_ticket, name="try-ticket"),
    path("try/", playground.playground, name="playground"),
    path("engines/", engines.engine_list, name="engine-list"),
    path("engines/events/", events.event_list, name="event-list"),
    path("engines/plan/", plan.plan_page, name="plan"),
    path("engines/deployments/new/", deployments.deployment_new, name="deployment-new"),
    path("engines/deployments/<int:pk>/", deployments.deployment_page, name="deployment"),
    path("engines/deployments/<int:pk>/change/", deployments.deployment_changes, name="deployment-change"),
    path("engines/deployments/<int:pk>/replicas/", deployments.deployment_replicas, name="deployment-replicas"),
    path("engines/deployments/<int:pk>/residency/", residency.deployment_residency, name="deployment-residency"),
    path("engines/deployments/<int:pk>/start-again/", deployments.deployment_again, name="deployment-start-again"),
    path("engines/engine/<uuid:pk>/", engine_page.engine_page, name="engine"),
    path("engines/node/<str:name>/", node_page.node_page, name="node"),
    path("engines/deployments/<int:pk>/delete/", deployments.deployment_deletion, name="deployment-delete"),
    path("base-models/", base_models.base_model_list, name="base-model-list"),
    path("base-models/new/", base_models.base_model_new, name="base-model-new"),
    path("base-models/<int:pk>/prices/", base_models.base_model_prices, name="base-model-prices"),
]
