"""What people fill in about adapters and base models."""

from typing import Any

from django import forms

from serving.models import BaseModel
from serving.models.adapter import adapter_name_validator
from serving.models.base_model import model_name_validator
from tenants.models import Department


class SeveralFilesInput(forms.ClearableFileInput):
    """A file input that takes several files."""

    allow_multiple_selected = True


class SeveralFiles(forms.FileField):
    """At least one file; cleaned to a list."""

    widget = SeveralFilesInput

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Each of the files by the rules of a single one."""
        return [super(SeveralFiles, self).clean(file, initial) for file in data or [None]]


class UploadForm(forms.Form):
    """A new version of an adapter."""

    files = SeveralFiles(  # type: ignore[assignment]  # the form keeps it as `form["files"]`, like any field
        error_messages={
            "required": "Choose adapter_config.json and adapter_model.safetensors, or one archive of them.",
            "empty": "One of the files is empty.",
        }
    )

    name = forms.CharField(
        max_length=64,
        validators=[adapter_name_validator],
        help_text="What programs write as model, such as support-bot. An adapter of this name gets a new version.",
    )
    base_model = forms.ModelChoiceField(
        BaseModel.objects.none(),
        to_field_name="name",
        empty_label="Choose…",
        help_text="The model that the adapter was trained on.",
    )
    notes = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea,
        help_text="What is new in this version, for your colleagues.",
    )

    def __init__(self, department: Department, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["base_model"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101  # for the type checker
        field.queryset = BaseModel.objects.adaptable_by(department.pk)
        # Of several, none is the likelier one: a wrong guess is an adapter that is rejected.
        if field.queryset.count() == 1:
            field.empty_label = None


class DeleteForm(forms.Form):
    """The name of what is to be deleted, typed as a proof of intent."""

    confirm = forms.CharField(label="Name")

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._name = name

    def clean_confirm(self) -> str:
        """The name must be typed exactly."""
        typed: str = self.cleaned_data["confirm"]
        if typed != self._name:
            raise forms.ValidationError(f"Type {self._name} to confirm.")
        return typed


def _price(help_text: str) -> forms.DecimalField:
    return forms.DecimalField(min_value=0, max_digits=12, decimal_places=6, help_text=help_text)


class BaseModelForm(forms.Form):
    """A new base model."""

    name = forms.CharField(
        max_length=64,
        validators=[model_name_validator],
        help_text="What callers write as model, such as smollm2-135m.",
    )
    source = forms.CharField(
        max_length=200,
        required=False,
        help_text="Where it comes from, such as HuggingFaceTB/SmolLM2-135M-Instruct. "
        "Adapters that name it as their base are recognised by it.",
    )
    gguf_path = forms.CharField(
        max_length=500, required=False, label="GGUF file", help_text="For llama.cpp. The same path on every node."
    )
    hf_path = forms.CharField(
        max_length=500,
        required=False,
        label="Hugging Face folder",
        help_text="For vLLM. The same path on every node.",
    )
    takes_adapters = forms.BooleanField(
        required=False,
        initial=True,
        label="Adapters can be attached to it",
        help_text="Untick this for embedding models and rerankers, and for whatever else no adapters are made for.",
    )
    open_to_all = forms.BooleanField(required=False, initial=True, label="Every department may use it")
    departments = forms.ModelMultipleChoiceField(
        Department.objects.all(),
        to_field_name="slug",
        required=False,
        help_text="Who may use it when it is not open to all.",
    )


class PricesForm(forms.Form):
    """What a million tokens of a base model cost."""

    prompt = _price("Of the prompts.")
    cached = _price("Of the prompts, where the engine knew them already.")
    completion = _price("Of the answers.")
