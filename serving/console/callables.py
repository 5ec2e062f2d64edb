"""The names that a department may write as `model`: its adapters, those shared with it, and its base models."""

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
        """Whether it is one, of the department's own or shared with it."""
        return self.name != self.base_model


def callables_of(department: Department) -> list[CallableModel]:
    """What this department may call, its own adapters first."""
    own = Adapter.objects.in_service().filter(department=department, rollout__isnull=False).order_by("name")
    shared = Adapter.objects.shared_with(department.pk, department.slug).filter(rollout__isnull=False)
    bases = BaseModel.objects.granted_to(department.pk).order_by("name").values_list("name", flat=True)
    return [
        *(CallableModel(*row) for row in own.values_list("name", "base_model__name")),
        *(
            CallableModel(f"{owner}/{name}", base)
            for owner, name, base in shared.order_by("department__slug", "name").values_list(
                "department__slug", "name", "base_model__name"
            )
        ),
        *(CallableModel(name, name) for name in bases),
    ]


def example_of(models: Collection[CallableModel], allowed: Collection[str] = ()) -> str:
    """The best name for an example, among those allowed if any are; "" when there is none."""
    return next((model.name for model in models if not allowed or model.name in allowed), "")
