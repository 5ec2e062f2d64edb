"""Says when engines that failed are replaced: ever later, and no more after too many failures in a short time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from serving.background import reconciliation_request
from serving.models import Deployment, Engine, EngineState, Failure
from tenants.audit import audit_record
from tenants.models import User

WINDOW = timedelta(minutes=10)
# So many failures of each wished replica within the window are not chance.
GIVEN_UP_AFTER = 5
_LONGEST_WAIT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Restart:
    """When the next engine of a deployment may start; `at` is None when not before a person says so.

    `failures` counts those within the window, `last` is the latest of them.
    """

    at: datetime | None
    failures: int = 0
    last: Engine | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether it takes a person: `deployment_start_again`."""
        return self.at is None

    def may_start(self, now: datetime) -> bool:
        """Whether the time has come."""
        return self.at is not None and self.at <= now


def restart_of(deployment: Deployment) -> Restart:
    """What the failures of a deployment's engines mean for the next one, in one query.

    The wait doubles with each failure of as many engines as there are replicas: 1, 2, 4, 8 seconds. Engines that were
    lost with their node do not count, for it is not they who failed.
    """
    now = timezone.now()
    since = max(now - WINDOW, deployment.started_again_at or now - WINDOW)
    failures = list(
        Engine.objects.filter(deployment=deployment, state=EngineState.FAILED, ended_at__gt=since)
        .exclude(failure=Failure.LOST)
        .select_related("node")
        .order_by("-ended_at")
    )
    if not failures:
        return Restart(at=now)
    last = failures[0]
    assert last.ended_at is not None  # noqa: S101  # by the query
    replicas = max(deployment.replicas, 1)
    if len(failures) >= GIVEN_UP_AFTER * replicas:
        return Restart(at=None, failures=len(failures), last=last)
    rounds = -(-len(failures) // replicas)
    wait = min(timedelta(seconds=2 ** (rounds - 1)), _LONGEST_WAIT)
    return Restart(at=last.ended_at + wait, failures=len(failures), last=last)


@transaction.atomic
def deployment_start_again(*, deployment: Deployment, by: User | None) -> None:
    """Forget the failures so far and start what is missing, at once."""
    deployment.started_again_at = timezone.now()
    deployment.save(update_fields=["started_again_at"])
    audit_record(action="deployment.start_again", target=str(deployment), by=by)
    transaction.on_commit(reconciliation_request)
