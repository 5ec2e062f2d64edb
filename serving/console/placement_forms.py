"""What people fill in about placements."""

from django import forms

from tenants.models import Placement

_HELP = "Automatic starts on llama.cpp and moves to vLLM with traffic, and back after quiet hours."


class DepartmentPlacementForm(forms.Form):
    """Which kind of engine answers first for a department."""

    placement = forms.ChoiceField(choices=Placement.choices, help_text=_HELP)


class AdapterPlacementForm(forms.Form):
    """Which kind of engine answers first for an adapter."""

    placement = forms.ChoiceField(
        choices=[("", "As its department"), *Placement.choices], required=False, help_text=_HELP
    )
