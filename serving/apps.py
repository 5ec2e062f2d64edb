"""Registers the serving app: what answers."""

from django.apps import AppConfig


class ServingConfig(AppConfig):
    """Base models, adapters, deployments, engines, nodes and usage."""

    name = "serving"
