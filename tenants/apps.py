"""Registers the tenants app: who may ask."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Departments, people, keys and audit."""

    name = "tenants"
