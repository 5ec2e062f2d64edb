"""Routes of the console: departments, keys, members, users, audit."""

from django.urls import path

from tenants.console import audit, departments, keys, members, users

urlpatterns = [
    path("departments/", departments.department_list, name="department-list"),
    # Outside departments/, where "new" could be a department's slug.
    path("new-department/", departments.department_new, name="department-new"),
    path("departments/<str:slug>/name/", departments.department_name, name="department-name"),
    path("departments/<str:slug>/fallback/", departments.department_fallback, name="department-fallback"),
    path("departments/<str:slug>/keys/", keys.key_list, name="key-list"),
    path("departments/<str:slug>/keys/new/", keys.key_new, name="key-new"),
    path("departments/<str:slug>/keys/<int:pk>/rotate/", keys.key_rotation, name="key-rotate"),
    path("departments/<str:slug>/keys/<int:pk>/revoke/", keys.key_revocation, name="key-revoke"),
    path("departments/<str:slug>/members/", members.member_list, name="member-list"),
    path("departments/<str:slug>/members/new/", members.member_new, name="member-new"),
    path("departments/<str:slug>/members/<int:pk>/role/", members.member_role, name="member-role"),
    path("departments/<str:slug>/members/<int:pk>/remove/", members.member_removal, name="member-remove"),
    path("users/", users.user_list, name="user-list"),
    path("users/new/", users.user_new, name="user-new"),
    path("users/<int:pk>/password/", users.user_password, name="user-password"),
    path("users/<int:pk>/active/", users.user_active, name="user-active"),
    path("audit/", audit.audit, name="audit"),
]
