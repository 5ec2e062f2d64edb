"""What people fill in about limits."""

from typing import Any

from django import forms

from polygraft.conf import config
from tenants.limits import KINDS, MODELS

# In place of a model's name: one that is still to be chosen.
ANY = "*"


def _count(help_text: str) -> forms.IntegerField:
    return forms.IntegerField(required=False, min_value=1, help_text=help_text)


class LimitsForm(forms.Form):
    """The limits of a platform, department or key; empty: not limited.

    They are those of all requests, or with `model` those for one model beside them.
    """

    model = forms.ChoiceField(help_text="Its own limits count beside those for all requests.")
    requests_per_minute = _count("In any 60 seconds.")
    tokens_per_minute = _count("Of prompts and answers, in any 60 seconds.")
    concurrent_requests = _count("Under way at the same time.")
    tokens_per_day = _count("From midnight to midnight, UTC.")
    tokens_per_month = _count("From the first of the month, UTC.")
    money_per_month = forms.DecimalField(required=False, decimal_places=6)

    def __init__(self, kept: dict[str, Any], models: list[str], model: str | None, data: Any = None) -> None:
        """Take what is kept, the names that may be chosen, and the one that is limited: None, a name, or `ANY`."""
        self._kept = kept
        self._own: dict[str, dict[str, Any]] = kept.get(MODELS, {})
        shown = kept if model is None else self._own.get(model, {})
        super().__init__(data, initial={**shown, "model": model})
        field = self.fields["model"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101  # for the type checker
        if model is None:
            del self.fields["model"]
        elif model == ANY:
            field.choices = [(name, name) for name in models if name not in self._own]
        else:
            field.choices = [(name, name) for name in dict.fromkeys([*models, *self._own])]
            field.widget = forms.HiddenInput()
        self.fields["money_per_month"].help_text = f"In {config().currency}, by the base models' prices."

    def merged(self) -> dict[str, Any]:
        """All limits as they are to be kept, when the form is valid."""
        own = {kind: self.cleaned_data[kind] for kind in KINDS if self.cleaned_data[kind] is not None}
        model = self.cleaned_data.get("model", "")
        if not model:
            return {**own, MODELS: self._own} if self._own else own
        rest = {kind: value for kind, value in self._kept.items() if kind != MODELS}
        return {**rest, MODELS: {**self._own, model: own}}


class WeightForm(forms.Form):
    """A department's weight."""

    weight = forms.IntegerField(
        min_value=1,
        max_value=10_000,
        help_text="100 is usual. With 300 a department gets three times as many tokens of a full engine as with 100.",
    )
