"""Celery's entrances: each task is one thin call."""

from celery import shared_task

from serving.accounting.limit_memory import limits_remember
from serving.accounting.usage import usage_store
from serving.accounting.version_minutes import minutes_forget
from serving.adapters.intake import version_take_in
from serving.adapters.retention import retention_apply_everywhere
from serving.adapters.store.content import contents_release
from serving.adapters.store.sweep import store_sweep
from serving.comparisons.lifecycle import comparison_next
from serving.comparisons.run import comparison_run
from serving.events import events_forget, events_take_in
from serving.fleet.reconciler import reconcile
from serving.imports.lifecycle import import_run, imports_expire
from serving.placement.promotions import promotions_decide
from serving.rollouts.watch import rollouts_watch
from serving.uploads.lifecycle import uploads_expire


# A store that is away comes back: until then the upload waits, and is tried again at most every five minutes.
@shared_task(autoretry_for=(OSError,), retry_backoff=5, retry_backoff_max=300, max_retries=None)
def take_in_version(version_id: int) -> None:
    """Check an uploaded version, store it, convert it."""
    version_take_in(version_id)


@shared_task
def retire_versions() -> None:
    """Archive and delete old versions as the departments' policies say."""
    retention_apply_everywhere()


@shared_task
def release_contents() -> None:
    """Remove the bytes of deleted versions from the store."""
    contents_release()


@shared_task
def sweep_store() -> None:
    """Remove what dead workers have left in the store."""
    store_sweep()


@shared_task
def fetch_import(import_id: str) -> None:
    """Bring an adapter in from another place."""
    import_run(import_id)


@shared_task
def reconcile_deployments() -> None:
    """Make the engines agree with the deployments."""
    reconcile()


@shared_task
def promote_and_demote() -> None:
    """Move adapters and departments between llama.cpp and vLLM by their traffic."""
    promotions_decide()


@shared_task
def store_usage() -> None:
    """Move usage events from Redis to the database."""
    usage_store()


@shared_task
def remember_limits() -> None:
    """Tell a Redis that has lost its memory what was used this day and this month."""
    limits_remember()


@shared_task
def take_in_events() -> None:
    """Move what gateways have noted to the database."""
    events_take_in()


@shared_task
def expire_uploads() -> None:
    """Delete the uploads and imports that were broken off and not taken up again."""
    uploads_expire()
    imports_expire()


@shared_task
def forget_events() -> None:
    """Delete events that nobody will ask for any more."""
    events_forget()


@shared_task
def watch_rollouts() -> None:
    """Take canaries back that do worse than what they are to replace."""
    rollouts_watch()


@shared_task
def forget_minutes() -> None:
    """Delete sums of versions' minutes that nobody will ask for any more."""
    minutes_forget()


@shared_task
def run_comparison(comparison_id: str) -> None:
    """Give a comparison a turn."""
    comparison_run(comparison_id)


@shared_task
def continue_comparisons() -> None:
    """Have a comparison go on that nobody works on."""
    comparison_next()
