"""The names that a department may write as `model`: its adapters that are rolled out, and its base models."""

from collections.abc import Collection
from dataclasses import dataclass

from serving.models import Adapter, BaseModel
from tenants.models import Department


@dataclass(frozen=True, slots=True)
class CallableModel:
    """One name; `base_model` is what it runs on, the same as `name` for a base model."""

    name: str
    base_model: str

    @property
    def is_adapter(self) -> bool:
        """Whether it is one of the department's own."""
        return self.name != self.base_model


def callables_of(department: Department) -> list[CallableModel]:
    """What this department may call, its own adapters first."""
    adapters = (
        Adapter.objects.alive()
        .filter(department=department, rollout__isnull=False)
        .order_by("name")
        .values_list("name", "base_model__name")
    )
    bases = BaseModel.objects.granted_to(department.pk).order_by("name").values_list("name", flat=True)
    return [CallableModel(*row) for row in adapters] + [CallableModel(name, name) for name in bases]


def example_of(models: Collection[CallableModel], allowed: Collection[str] = ()) -> str:
    """The best name for an example, among those allowed if any are; "" when there is none."""
    return next((model.name for model in models if not allowed or model.name in allowed), "")
