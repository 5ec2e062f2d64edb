"""Registers what the platform adds to Django itself: template tags and management commands."""

from django.apps import AppConfig


class PolygraftConfig(AppConfig):
    """The platform's own app."""

    name = "polygraft"
