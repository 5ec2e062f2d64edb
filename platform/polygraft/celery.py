"""The Celery application: tasks for intake, reconciliation and usage, and the node agent in every worker."""

import os

from celery import Celery
from celery.signals import beat_embedded_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polygraft.settings")

from polygraft.conf import config  # settings come first
from polygraft.parent import end_with_parent

app = Celery("polygraft")
# Celery's "current" app is one per thread, and Django's views run in many.
app.set_default()
app.conf.update(
    broker_url=config().broker_url,
    result_backend=None,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_direct=True,  # each worker has a queue of its own, which is how a node is addressed
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    # Redis has no renewal: a task longer than this would be delivered twice. Tasks are idempotent all the same.
    broker_transport_options={"visibility_timeout": 6 * 3600, "global_keyprefix": "polygraft:celery:"},
    timezone="UTC",
    beat_schedule_filename=str(config().home / "celerybeat-schedule"),
)
app.conf.beat_schedule = {
    "reconcile": {"task": "serving.tasks.reconcile_deployments", "schedule": 5.0, "options": {"expires": 5}},
    "promotion": {"task": "serving.tasks.promote_and_demote", "schedule": 30.0, "options": {"expires": 30}},
    "events": {"task": "serving.tasks.take_in_events", "schedule": 2.0, "options": {"expires": 2}},
    "old events": {"task": "serving.tasks.forget_events", "schedule": 3600.0, "options": {"expires": 3600}},
    "rollouts": {"task": "serving.tasks.watch_rollouts", "schedule": 3.0, "options": {"expires": 3}},
    "old minutes": {"task": "serving.tasks.forget_minutes", "schedule": 3600.0, "options": {"expires": 3600}},
    "old uploads": {"task": "serving.tasks.expire_uploads", "schedule": 3600.0, "options": {"expires": 3600}},
    "old versions": {"task": "serving.tasks.retire_versions", "schedule": 3600.0, "options": {"expires": 3600}},
    "deleted bytes": {"task": "serving.tasks.release_contents", "schedule": 300.0, "options": {"expires": 300}},
    "left bytes": {"task": "serving.tasks.sweep_store", "schedule": 3600.0, "options": {"expires": 3600}},
    "comparisons": {"task": "serving.tasks.continue_comparisons", "schedule": 5.0, "options": {"expires": 5}},
    "limits": {"task": "serving.tasks.remember_limits", "schedule": 10.0, "options": {"expires": 10}},
    "usage": {"task": "serving.tasks.store_usage", "schedule": 2.0, "options": {"expires": 2}},
}
app.autodiscover_tasks(["serving"])


@beat_embedded_init.connect
def _end_with_the_worker(**_: object) -> None:
    # A worker that is killed would leave its beat behind, which would go on beside the next one's.
    end_with_parent(os.getppid())


# Every worker is a node. A name, since the agent's module may only be loaded once Django is set up.
app.steps["worker"].add("serving.engines.agent:NodeAgent")
