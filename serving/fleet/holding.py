"""Writes which adapters a deployment's engines hold; `serving.fleet.residency` says what follows from it."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction

from polygraft.live import Change, announce
from serving.engines.kinds import EngineKind
from serving.engines.options import VLLM_DEFAULTS
from serving.models import Adapter, Deployment, Residency
from tenants.audit import audit_record
from tenants.models import User


@transaction.atomic
def deployment_hold(
    *, deployment: Deployment, residency: Residency, adapter_slots: int, pinned: Iterable[str], by: User | None
) -> None:
    """Say which adapters a deployment's engines hold; they load and unload within seconds, without a restart.

    Args:
        adapter_slots: the most adapters that an engine holds, unless it holds all.
        pinned: the adapters that stay, each as `department/adapter`.

    Raises:
        ValidationError: a pinned adapter does not exist for this base model, or the slots do not suffice.
    """
    names = list(dict.fromkeys(pinned))
    adapters = {
        f"{slug}/{name}": pk
        for pk, slug, name in Adapter.objects.alive()
        .filter(base_model=deployment.base_model_id, name__in=[name.partition("/")[2] for name in names])
        .values_list("pk", "department__slug", "name")
    }
    problems: dict[str, list[str]] = {}
    if missing := [name for name in names if name not in adapters]:
        problems["pinned"] = [
            f"There is no adapter {name} for {deployment.base_model}. Write department/adapter." for name in missing
        ]
    if names and residency is not Residency.PINNED:
        problems["pinned"] = ["Adapters can be listed only where the policy is pinned."]
    if len(names) > adapter_slots:
        problems["adapter_slots"] = [f"{len(names)} adapters are to stay; that needs as many slots."]
    loras = deployment.options.get("max_cpu_loras", VLLM_DEFAULTS["max_cpu_loras"])
    if deployment.engine_kind == EngineKind.VLLM and residency is not Residency.EAGER and adapter_slots > loras:
        problems["adapter_slots"] = [f"vLLM keeps max_cpu_loras = {loras} adapters in memory; more slots do not help."]
    if problems:
        raise ValidationError(problems)
    before = _words(deployment)
    deployment.residency, deployment.adapter_slots = residency, adapter_slots
    deployment.full_clean()
    deployment.save(update_fields=["residency", "adapter_slots"])
    deployment.pinned.set([adapters[name] for name in names])
    audit_record(action="deployment.hold", target=str(deployment), by=by, before=before, after=_words(deployment))
    transaction.on_commit(lambda: announce(Change.WORK))


def pinned_names(deployment: Deployment) -> list[str]:
    """The adapters that stay on a deployment's engines, each as `department/adapter`."""
    listed = deployment.pinned.order_by("department__slug", "name").values_list("department__slug", "name")
    return [f"{slug}/{name}" for slug, name in listed]


def _words(deployment: Deployment) -> dict[str, object]:
    return {
        "residency": str(deployment.residency),
        "adapter_slots": deployment.adapter_slots,
        "pinned": pinned_names(deployment),
    }
