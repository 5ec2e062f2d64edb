"""Asks for background work by the names of its tasks, so that services need not know who runs them."""

from celery import current_app


def intake_request(version_id: int) -> None:
    """Have an uploaded version examined, by whichever worker is free."""
    current_app.send_task("serving.tasks.take_in_version", args=[version_id])


def import_request(import_id: str) -> None:
    """Have an import carried out, by whichever worker is free."""
    current_app.send_task("serving.tasks.fetch_import", args=[import_id])


def release_request() -> None:
    """Have the bytes of deleted versions removed from the store now, rather than at the next beat."""
    current_app.send_task("serving.tasks.release_contents")


def reconciliation_request() -> None:
    """Have the engines compared with the deployments now, rather than at the next beat."""
    current_app.send_task("serving.tasks.reconcile_deployments")


def comparison_request(comparison_id: str) -> None:
    """Have a comparison given its next turn."""
    current_app.send_task("serving.tasks.run_comparison", args=[comparison_id])
