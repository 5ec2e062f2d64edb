"""Routes of the management API: departments, members, keys, audit."""

from django.urls import path

from tenants.api import views

urlpatterns = [
    path("departments", views.DepartmentList.as_view(), name="api-departments"),
    path("departments/<str:slug>", views.DepartmentDetail.as_view(), name="api-department"),
    path("departments/<str:slug>/members", views.MemberList.as_view(), name="api-members"),
    path("departments/<str:slug>/members/<str:username>", views.MemberDetail.as_view(), name="api-member"),
    path("departments/<str:slug>/keys", views.KeyList.as_view(), name="api-keys"),
    path("departments/<str:slug>/keys/<int:pk>", views.KeyDetail.as_view(), name="api-key"),
    path("departments/<str:slug>/keys/<int:pk>/rotate", views.KeyRotation.as_view(), name="api-key-rotate"),
    path("limits", views.PlatformLimits.as_view(), name="api-limits"),
    path("audit", views.AuditList.as_view(), name="api-audit"),
]
