"""Celery's entrances: each task is one thin call."""

from celery import shared_task


@shared_task
def take_in_version(version_id: int) -> None:
    """Check an uploaded version, store it, convert it."""
    from serving.adapters.intake import version_take_in

    version_take_in(version_id)


@shared_task
def reconcile_deployments() -> None:
    """Make the engines agree with the deployments."""
    from serving.reconciler import reconcile

    reconcile()


@shared_task
def store_usage() -> None:
    """Move usage events from Redis to the database."""
    from serving.usage import usage_store

    usage_store()
