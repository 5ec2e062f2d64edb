"""Registers what the platform adds to Django itself: template tags and management commands."""

from importlib import import_module

from django.apps import AppConfig


class PolygraftConfig(AppConfig):
    """The platform's own app."""

    name = "polygraft"

    def ready(self) -> None:
        """Make our Celery application the one that tasks are sent through, in every process that uses Django."""
        import_module("polygraft.celery")
