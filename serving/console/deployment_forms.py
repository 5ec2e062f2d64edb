"""What people fill in about deployments."""

import re
from functools import reduce
from operator import or_
from typing import Any

from django import forms
from django.db.models import Q

from serving.engines.kinds import KIND_NAMES, EngineKind
from serving.engines.options import OPTIONS, Choice, Flags, Number, Option, Share, Switch, Text
from serving.fleet.deployments import WISHES
from serving.models import Adapter, BaseModel, Deployment, Residency

_HAS_FILES = {EngineKind.LLAMACPP: Q(gguf_path__gt=""), EngineKind.VLLM: Q(hf_path__gt="")}
# A new deployment may leave these open.
_WITH_DEFAULTS = ("min_replicas", "concurrency", "residency", "adapter_slots")
_LABEL = re.compile(r"([A-Za-z0-9._/-]{1,63})=([A-Za-z0-9._/-]{1,63})")


def _option_field(option: Option, **about: Any) -> forms.Field:
    match option:
        case Number():
            return forms.IntegerField(min_value=option.minimum, **about)
        case Choice():
            return forms.TypedChoiceField(
                choices=[("", ""), *((value, value) for value in option.values)],
                coerce=int,
                empty_value=None,
                **about,
            )
        case Share():
            return forms.FloatField(min_value=0, max_value=1, **about)
        case Flags():
            return forms.CharField(max_length=500, **about)
        case Text():
            return forms.RegexField(
                rf"\A(?:{option.pattern})\Z", error_messages={"invalid": f"This is such as {option.example}."}, **about
            )
        case Switch(off_flag=str(flag)) if flag:
            # Unset is as the engine has it, which is neither of the two.
            return forms.TypedChoiceField(
                choices=[("", ""), ("True", "on"), ("False", "off")],
                coerce=lambda word: word == "True",
                empty_value=None,
                **about,
            )
        case Switch():
            return forms.BooleanField(**about)


class WishesForm(forms.Form):
    """How many engines a deployment should have, where, and with which options."""

    replicas = forms.IntegerField(min_value=0, max_value=64, initial=1, help_text="How many engines should run.")
    min_replicas = forms.IntegerField(
        min_value=1, max_value=64, initial=1, label="Fewest replicas", help_text="While it is awake."
    )
    max_replicas = forms.IntegerField(
        min_value=1,
        max_value=64,
        required=False,
        label="Most replicas",
        help_text="Under load it grows up to here. Empty: the number is fixed.",
    )
    idle_minutes = forms.IntegerField(
        min_value=1,
        max_value=100_000,
        required=False,
        label="Sleeps after minutes",
        help_text="Without a request for so long, its engines end; the next request wakes it. Empty: never.",
    )
    concurrency = forms.IntegerField(
        min_value=1,
        max_value=4096,
        initial=4,
        label="Room for requests",
        help_text="Requests of full context that each engine's KV cache must hold; decides which nodes it fits on.",
    )
    node_selector = forms.CharField(
        max_length=500,
        required=False,
        label="Node labels",
        help_text="Only nodes with these labels, such as zone=eu, disk=fast. Empty: any node.",
    )
    residency = forms.ChoiceField(
        choices=Residency.choices, initial=Residency.EAGER, label="Adapters", help_text="Which adapters engines hold."
    )
    adapter_slots = forms.IntegerField(
        min_value=1,
        max_value=100_000,
        initial=32,
        label="Adapters per engine",
        help_text="At most, unless it holds all of them.",
    )
    pinned = forms.CharField(
        required=False,
        label="Pinned adapters",
        widget=forms.Textarea(attrs={"placeholder": "support/support-bot"}),
        help_text="Those that stay, one a line, where adapters are pinned.",
    )

    def __init__(self, *args: Any, kinds: tuple[EngineKind, ...] = tuple(OPTIONS), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind in kinds:
            for name, option in OPTIONS[kind].items():
                self.fields[f"option_{name}"] = _option_field(
                    option, required=False, label=name, help_text=f"{KIND_NAMES[kind]}: {option.meaning}."
                )

    def clean_node_selector(self) -> dict[str, str]:
        """The labels, comma-separated."""
        words = [word.strip() for word in self.cleaned_data["node_selector"].split(",") if word.strip()]
        found = [_LABEL.fullmatch(word) for word in words]
        if wrong := [word for word, match in zip(words, found, strict=True) if match is None]:
            raise forms.ValidationError(f"{wrong[0][:50]} is no label such as zone=eu.")
        return {match[1]: match[2] for match in found if match is not None}

    def clean_pinned(self) -> list[Adapter]:
        """The living adapters, one a line."""
        adapters = []
        for line in filter(None, map(str.strip, self.cleaned_data["pinned"].splitlines())):
            slug, _, name = line.partition("/")
            adapter = Adapter.objects.alive().filter(department__slug=slug, name=name).first()
            if adapter is None:
                raise forms.ValidationError(f"There is no adapter {line[:130]}. Write department/adapter.")
            adapters.append(adapter)
        return adapters

    def option_fields(self) -> list[forms.BoundField]:
        """The fields that are options of the engine."""
        return [self[name] for name in self.fields if name.startswith("option_")]

    def options(self) -> dict[str, int | float | str | bool]:
        """The options that were filled in; a box that is not ticked is not."""
        return {
            name.removeprefix("option_"): value
            for name, value in self.cleaned_data.items()
            if name.startswith("option_")
            and value not in (None, "")
            and not (value is False and isinstance(self.fields[name], forms.BooleanField))
        }

    def wishes(self) -> dict[str, Any]:
        """What `deployment_create` and `deployment_change` take."""
        plain = {name: self.cleaned_data[name] for name in WISHES if name in self.cleaned_data}
        return {**plain, "options": self.options(), "pinned": self.cleaned_data["pinned"]}


class DeploymentForm(WishesForm):
    """A new deployment; a field for each option of the engine kinds."""

    field_order = ("base_model", "engine_kind")

    base_model = forms.ModelChoiceField(
        BaseModel.objects.filter(reduce(or_, (_HAS_FILES[kind] for kind in OPTIONS))),
        to_field_name="name",
        empty_label=None,
    )
    engine_kind = forms.TypedChoiceField(
        choices=[(kind.value, KIND_NAMES[kind]) for kind in OPTIONS], coerce=EngineKind, label="Engine"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _WITH_DEFAULTS:
            self.fields[name].required = False

    def wishes(self) -> dict[str, Any]:
        """As filled in; the model's defaults for the rest."""
        return {name: value for name, value in super().wishes().items() if value not in (None, "")}


def filled_in(deployment: Deployment) -> dict[str, Any]:
    """A deployment as the initial values of `WishesForm`."""
    return {
        **{name: getattr(deployment, name) for name in WISHES},
        "node_selector": ", ".join(f"{key}={value}" for key, value in deployment.node_selector.items()),
        "pinned": "\n".join(map(str, deployment.pinned.select_related("department"))),
        **{f"option_{name}": value for name, value in deployment.options.items()},
    }


class ReplicasForm(forms.Form):
    """How many engines a deployment should have."""

    replicas = forms.IntegerField(min_value=0, max_value=64, help_text="0 stops them all, gently.")
