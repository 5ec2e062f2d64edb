"""The console's dialog that says which adapters a deployment's engines hold."""

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from polygraft.answers import add_problems, ask, go_to, person
from serving.fleet.holding import deployment_hold, pinned_names
from serving.models import Deployment, Residency
from tenants.access import Right, require


class ResidencyForm(forms.Form):
    """Which adapters an engine holds."""

    residency = forms.ChoiceField(choices=Residency.choices, label="Policy")
    adapter_slots = forms.IntegerField(
        min_value=1,
        max_value=100_000,
        label="Slots",
        help_text="The most adapters that an engine holds. Eager holds all of them, however many.",
    )
    pinned = forms.CharField(
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"placeholder": "support/support-bot"}),
        help_text="The adapters that stay, one a line, as department/adapter. Only where the policy is pinned.",
    )

    def clean_pinned(self) -> list[str]:
        """The names, one a line."""
        return [line.strip() for line in self.cleaned_data["pinned"].splitlines() if line.strip()]


@require_http_methods(["GET", "POST"])
def deployment_residency(request: HttpRequest, pk: int) -> HttpResponse:
    """Say which adapters a deployment's engines hold."""
    require(person(request), Right.PLATFORM_MANAGE)
    deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
    back = reverse("engine-list")
    initial = {
        "residency": deployment.residency,
        "adapter_slots": deployment.adapter_slots,
        "pinned": "\n".join(pinned_names(deployment)),
    }
    form = ResidencyForm(request.POST or None, initial=initial)
    if form.is_valid():
        wished = form.cleaned_data | {"residency": Residency(form.cleaned_data["residency"])}
        try:
            deployment_hold(deployment=deployment, by=person(request), **wished)
        except ValidationError as error:
            add_problems(form, error)
        else:
            return go_to(request, back)
    return ask(request, "serving/deployment_residency.html", {"deployment": deployment}, back=back, form=form)
