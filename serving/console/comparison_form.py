"""What people fill in to begin a comparison."""

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from serving.comparisons.candidates import candidates_of, version_number
from serving.comparisons.prompts import MOST_BYTES, Prompt, prompts_from_jsonl
from serving.comparisons.sampling import MOST_TOKENS
from serving.models import Adapter
from serving.models.comparison import BASE, Proof


class ComparisonForm(forms.Form):
    """A new comparison; cleaned, `prompts` are the prompts, from the file or, without one, from the text."""

    name = forms.CharField(max_length=100, required=False, help_text="Empty: the file's name.")
    candidates = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple, error_messages={"required": "Choose two or more."}
    )
    file = forms.FileField(
        required=False,
        label="Prompts, as a JSONL file",
        widget=forms.FileInput(attrs={"class": "form-control", "accept": ".jsonl,.ndjson,.txt"}),
    )
    prompts = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"class": "form-control mono", "rows": 6, "spellcheck": "false"}),
        label="Or pasted here",
        max_length=MOST_BYTES,
        strip=False,
    )
    temperature = forms.FloatField(
        min_value=0, max_value=2, initial=0, help_text="0: always the likeliest word, so that runs can be compared."
    )
    max_tokens = forms.IntegerField(min_value=1, max_value=MOST_TOKENS, initial=256, label="Most tokens of an answer")
    seed = forms.IntegerField(min_value=0, required=False, help_text="For a temperature above 0.")

    sampling_fields: ClassVar[tuple[str, ...]] = ("temperature", "max_tokens", "seed")

    def __init__(self, adapter: Adapter, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["candidates"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101  # for the type checker
        base = f"base: {adapter.base_model.name} without an adapter"
        known = candidates_of(adapter)
        field.choices = [(candidate, base if candidate == BASE else candidate) for candidate in known]
        # The live one and the newest, which is what people want to know as a rule.
        live = [candidate for candidate in known if version_number(candidate) in adapter.weights]
        field.initial = list(dict.fromkeys([*live[:1], *known]))[:2]

    def clean(self) -> dict[str, Any]:
        """Read the prompts."""
        cleaned = super().clean() or self.cleaned_data
        file: UploadedFile[bytes] | None = cleaned.get("file")
        text = cleaned.get("prompts", "")
        if file is None and not text.strip():
            self.add_error("file", "Choose a file, or paste the prompts below.")
            return cleaned
        try:
            content = file.read() if file is not None else text.encode()
            cleaned["prompts"] = prompts_from_jsonl(content)
        except ValidationError as error:
            self.add_error("prompts" if file is None else "file", error.messages)
        return cleaned

    @property
    def prompt_fields(self) -> list[forms.BoundField]:
        """The two ways in which prompts come."""
        return [self["file"], self["prompts"]]

    @property
    def read_prompts(self) -> list[Prompt]:
        """The prompts of a valid form."""
        prompts: list[Prompt] = self.cleaned_data["prompts"]
        return prompts

    @property
    def title(self) -> str:
        """What the comparison is called: as given, or as the file."""
        file: UploadedFile[bytes] | None = self.cleaned_data["file"]
        return self.cleaned_data["name"] or (file.name or "" if file is not None else "")[:100] or "Comparison"


class ComparisonPolicyForm(forms.Form):
    """A department's policy."""

    required = forms.BooleanField(required=False, label="A comparison is required before a rollout")
    proof = forms.ChoiceField(choices=Proof.choices, label="What it must show")
    prompts = forms.IntegerField(
        min_value=1, max_value=100_000, label="Fewest prompts", help_text="With an expectation, in one comparison."
    )
    pass_rate = forms.IntegerField(
        min_value=1,
        max_value=100,
        label="Pass rate in percent",
        help_text="What the version must reach, where the pass rate decides.",
    )
