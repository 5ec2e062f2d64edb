"""Weights that adapters attach to."""

from decimal import Decimal
from typing import Any, Self

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from serving.accounting.prices import Prices
from tenants.models import Department, User

model_name_validator = RegexValidator(
    r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z",
    "Use 1 to 64 lower-case letters, digits, dots, hyphens and underscores, with a letter or digit at both ends.",
)


def _price_field(what: str) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(
        max_digits=12,
        decimal_places=6,
        default=Decimal(0),
        validators=[MinValueValidator(Decimal(0))],
        help_text=f"Of a million {what}, in the platform's currency.",
    )


class BaseModelQuerySet(models.QuerySet["BaseModel"]):
    """Queries over base models."""

    def granted_to(self, department_id: int) -> Self:
        """The base models that a department may call by name, and attach adapters to where they take any."""
        return self.filter(Q(open_to_all=True) | Q(departments=department_id)).distinct()

    def adaptable_by(self, department_id: int) -> Self:
        """The base models that a department may attach adapters to."""
        return self.granted_to(department_id).filter(takes_adapters=True)

    def visible_to(self, user: User) -> Self:
        """The base models that a person may know of."""
        if user.sees_every_department:
            return self
        return self.filter(Q(open_to_all=True) | Q(departments__memberships__user=user)).distinct()


class BaseModel(models.Model):
    """A Hugging Face folder for vLLM, a GGUF file for llama.cpp, or both, under one name."""

    name = models.CharField(
        max_length=64, unique=True, validators=[model_name_validator], help_text="What callers write."
    )
    source = models.CharField(
        max_length=200,
        blank=True,
        help_text="Its name where it comes from, such as HuggingFaceTB/SmolLM2-135M-Instruct; "
        "adapters that name it as their base are accepted.",
    )
    gguf_path = models.CharField(
        max_length=500, blank=True, help_text="GGUF file for llama.cpp, at this path on every node."
    )
    hf_path = models.CharField(
        max_length=500, blank=True, help_text="Hugging Face folder for vLLM, at this path on every node."
    )
    takes_adapters = models.BooleanField(
        default=True,
        help_text="Whether adapters can be attached to it. Without them it may have any architecture that its engine "
        "knows, such as those of embedding models and rerankers.",
    )
    open_to_all = models.BooleanField(default=True, help_text="Whether every department may use it.")
    departments = models.ManyToManyField(
        Department, blank=True, related_name="base_models", help_text="Who may use it, when not open to all."
    )
    prompt_price = _price_field("prompt tokens")
    cached_price = _price_field("prompt tokens that were in the prefix cache")
    completion_price = _price_field("completion tokens")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = BaseModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def prices(self) -> Prices:
        """What its tokens cost, and those of every adapter on it."""
        return Prices(self.prompt_price, self.cached_price, self.completion_price)
