"""Writes the wish: which base model should run on which kind of engine, and how often."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from polygraft.live import Change, announce
from serving.background import reconciliation_request
from serving.engines.kinds import EngineKind
from serving.engines.options import option_problems
from serving.models import BaseModel, Deployment
from tenants.audit import audit_record
from tenants.models import User


@transaction.atomic
def deployment_create(
    *, base_model: BaseModel, engine_kind: EngineKind, by: User | None, replicas: int = 1, options: dict[str, Any]
) -> Deployment:
    """Wish for engines; nodes start them within seconds.

    Raises:
        ValidationError: the base model lacks the files that this kind needs, or an option is unknown or out of range.
    """
    if engine_kind is EngineKind.LLAMACPP and not base_model.gguf_path:
        raise ValidationError({"base_model": "llama.cpp needs a GGUF file, and this base model has none."})
    if engine_kind is EngineKind.VLLM and not base_model.hf_path:
        raise ValidationError({"base_model": "vLLM needs a Hugging Face folder, and this base model has none."})
    if problems := option_problems(engine_kind, options):
        raise ValidationError({"options": problems})
    deployment = Deployment(base_model=base_model, engine_kind=engine_kind, replicas=replicas, options=options)
    deployment.full_clean()
    deployment.save()
    audit_record(action="deployment.create", target=str(deployment), by=by, replicas=replicas, options=options)
    transaction.on_commit(reconciliation_request)
    transaction.on_commit(lambda: announce(Change.MODELS))
    return deployment


@transaction.atomic
def deployment_scale(*, deployment: Deployment, replicas: int, by: User | None) -> None:
    """Change how many engines there should be; engines too many are drained first."""
    before, deployment.replicas = deployment.replicas, replicas
    deployment.full_clean()
    deployment.save(update_fields=["replicas"])
    audit_record(action="deployment.scale", target=str(deployment), by=by, before=before, after=replicas)
    transaction.on_commit(reconciliation_request)
    transaction.on_commit(lambda: announce(Change.MODELS))


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
