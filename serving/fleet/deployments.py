"""Writes the wish: which base model should run on which kind of engine, how often and where."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from polygraft.live import Change, announce
from serving.background import reconciliation_request
from serving.engines.kinds import EngineKind
from serving.engines.options import option_problems
from serving.models import Adapter, BaseModel, Deployment
from tenants.audit import audit_record
from tenants.models import User

# What may be said of a deployment when it is made, and changed later.
WISHES = (
    "replicas",
    "min_replicas",
    "max_replicas",
    "idle_minutes",
    "concurrency",
    "node_selector",
    "residency",
    "adapter_slots",
    "options",
)
# What engines that run already must be replaced for.
_NEEDS_RESTART = ("options", "node_selector")


@transaction.atomic
def deployment_create(
    *,
    base_model: BaseModel,
    engine_kind: EngineKind,
    by: User | None,
    pinned: Iterable[Adapter] = (),
    **wishes: Any,
) -> Deployment:
    """Wish for engines; nodes start them within seconds.

    Args:
        pinned: the adapters that stay on its engines, where the residency is `pinned`.
        wishes: see `WISHES`.

    Raises:
        ValidationError: the base model lacks the files that this kind needs, or a wish is unknown or out of range.
    """
    if engine_kind is EngineKind.LLAMACPP and not base_model.gguf_path:
        raise ValidationError({"base_model": "llama.cpp needs a GGUF file, and this base model has none."})
    if engine_kind is EngineKind.VLLM and not base_model.hf_path:
        raise ValidationError({"base_model": "vLLM needs a Hugging Face folder, and this base model has none."})
    deployment = Deployment(base_model=base_model, engine_kind=engine_kind, **wishes)
    _check(deployment)
    deployment.save()
    _pin(deployment, pinned)
    audit_record(action="deployment.create", target=str(deployment), by=by, **wishes)
    _take_hold()
    return deployment


@transaction.atomic
def deployment_change(
    *, deployment: Deployment, by: User | None, pinned: Iterable[Adapter] | None = None, **wishes: Any
) -> None:
    """Change what is wished for.

    Other replicas start or drain. Other options or nodes bring successors for the engines that run; each drains when
    its successor is ready, or before it starts where there is no room for both. Replicas wake who sleeps.

    Args:
        pinned: the adapters that stay on its engines; None: as before.
        wishes: see `WISHES`; what is not given stays as it is.

    Raises:
        ValidationError: a wish is out of range, or does not go with the others.
    """
    before = {name: getattr(deployment, name) for name in wishes}
    changed = [name for name, value in wishes.items() if before[name] != value]
    for name in changed:
        setattr(deployment, name, wishes[name])
    _check(deployment)
    if any(name in changed for name in _NEEDS_RESTART):
        deployment.revision += 1
    if "replicas" in changed and deployment.replicas:
        deployment.asleep_since = None
    deployment.save(update_fields=[*changed, "revision", "asleep_since"])
    if pinned is not None:
        _pin(deployment, pinned)
    audit_record(
        action="deployment.change",
        target=str(deployment),
        by=by,
        before={name: before[name] for name in changed},
        after={name: wishes[name] for name in changed},
    )
    _take_hold()


def deployment_scale(*, deployment: Deployment, replicas: int, by: User | None) -> None:
    """Change how many engines there should be; engines too many are drained first."""
    deployment_change(deployment=deployment, by=by, replicas=replicas)


@transaction.atomic
def deployment_delete(*, deployment: Deployment, by: User | None) -> None:
    """Wish for none of these engines any more.

    Raises:
        ValidationError: engines of it still run; scale it to 0 first.
    """
    if deployment.engines.living().exists():
        raise ValidationError("Engines of this deployment still run. Scale it to 0 and wait until they have stopped.")
    audit_record(action="deployment.delete", target=str(deployment), by=by)
    deployment.delete()
    transaction.on_commit(lambda: announce(Change.MODELS))


def _check(deployment: Deployment) -> None:
    problems: dict[str, list[str] | str] = {}
    if wrong := option_problems(EngineKind(deployment.engine_kind), deployment.options):
        problems["options"] = wrong
    if deployment.max_replicas is not None:
        if deployment.max_replicas < max(1, deployment.min_replicas):
            problems["max_replicas"] = "The most replicas must be at least 1, and at least the fewest."
        elif deployment.replicas > deployment.max_replicas:
            problems["replicas"] = f"It may have {deployment.max_replicas} replicas at most."
    if deployment.idle_minutes == 0:
        problems["idle_minutes"] = "Give at least 1 minute, or nothing if it never sleeps."
    if deployment.concurrency < 1:
        problems["concurrency"] = "At least 1 request must find room."
    selector = deployment.node_selector
    if not isinstance(selector, dict) or not all(isinstance(v, str) and k and v for k, v in selector.items()):
        problems["node_selector"] = 'Labels are names with texts, such as {"zone": "eu"}.'
    if problems:
        raise ValidationError(problems)
    deployment.full_clean()


def _pin(deployment: Deployment, pinned: Iterable[Adapter]) -> None:
    adapters = list(pinned)
    foreign = [str(adapter) for adapter in adapters if adapter.base_model_id != deployment.base_model_id]
    if foreign:
        raise ValidationError({"pinned": f"Adapters of another base model: {', '.join(foreign)}."})
    deployment.pinned.set(adapters)


def _take_hold() -> None:
    transaction.on_commit(reconciliation_request)
    transaction.on_commit(lambda: announce(Change.MODELS))
