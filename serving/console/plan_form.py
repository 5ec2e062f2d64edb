"""What people fill in to have capacity planned."""

import json
from typing import Any

from django import forms

from serving.capacity.estimate import Wish
from serving.capacity.gpus import GPUS, NO_GPU
from serving.capacity.quantisation import QUANTISATIONS
from serving.engines.kinds import KIND_NAMES, EngineKind
from serving.models import BaseModel

_LONGEST_CONFIG = 100_000


class PlanForm(forms.Form):
    """A model, and what it should do."""

    base_model = forms.ModelChoiceField(
        BaseModel.objects.all(), to_field_name="name", required=False, empty_label="by its config.json"
    )
    config = forms.CharField(
        required=False,
        max_length=_LONGEST_CONFIG,
        label="config.json",
        widget=forms.Textarea(attrs={"placeholder": '{"model_type": "llama", "hidden_size": 4096, …}'}),
        help_text="Of any model on Hugging Face, when it is no base model here yet.",
    )
    context = forms.IntegerField(min_value=1, max_value=10_000_000, initial=8192, help_text="Tokens a request.")
    concurrency = forms.IntegerField(
        min_value=1, max_value=4096, initial=8, label="Requests at once", help_text="Of full context."
    )
    adapters = forms.IntegerField(min_value=0, max_value=100_000, initial=8, label="Adapters")
    active = forms.IntegerField(min_value=0, max_value=4096, initial=4, label="Of them in use at once")
    rank = forms.IntegerField(min_value=1, max_value=512, initial=16, label="Highest rank")
    quantisation = forms.ChoiceField(
        choices=[("", "as its files are, or the usual one"), *((name, name) for name in QUANTISATIONS)], required=False
    )
    kv_bits = forms.TypedChoiceField(
        choices=[(16, "16 bits a value"), (8, "8 bits a value")], coerce=int, initial=16, label="KV cache"
    )
    engine_kind = forms.TypedChoiceField(
        choices=[("", "whichever is better"), *((kind.value, KIND_NAMES[kind]) for kind in EngineKind)],
        coerce=EngineKind,
        empty_value=None,
        required=False,
        label="Engine",
    )
    gpu = forms.ChoiceField(
        choices=[("", "any"), (NO_GPU, "none"), *((gpu.name, gpu.name) for gpu in GPUS)], required=False, label="GPU"
    )

    def clean_config(self) -> object:
        """The parsed JSON; None when it is empty."""
        text = self.cleaned_data["config"].strip()
        if not text:
            return None
        try:
            parsed: object = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from error
        return parsed

    def clean(self) -> dict[str, Any]:
        """A model must be named, one way or the other."""
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and not cleaned["base_model"] and cleaned["config"] is None:
            self.add_error("config", "Choose a base model above, or paste a config.json here.")
        return cleaned

    def wish(self) -> Wish:
        """What was filled in."""
        return Wish.from_fields(self.cleaned_data)
