"""The management API's capacity planner."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from serving.capacity.estimate import Wish
from serving.capacity.gpus import GPUS, NO_GPU
from serving.capacity.quantisation import QUANTISATIONS
from serving.engines.kinds import EngineKind
from serving.fleet.planning import plan_as_json, plan_base_model, plan_config
from serving.models import BaseModel
from tenants.access import Right
from tenants.api.scoping import PlatformView


class PlanRequestSerializer(serializers.Serializer[Any]):
    """A model, by name or by its config.json, and what it should do."""

    base_model = serializers.SlugRelatedField(slug_field="name", queryset=BaseModel.objects.all(), required=False)
    config = serializers.DictField(required=False, help_text="A model's config.json, when it is no base model here.")
    context = serializers.IntegerField(min_value=1, max_value=10_000_000, default=8192)  # type: ignore[assignment]  # DRF keeps the two apart
    concurrency = serializers.IntegerField(min_value=1, max_value=4096, default=8)
    adapters = serializers.IntegerField(min_value=0, max_value=100_000, default=0)
    active = serializers.IntegerField(min_value=0, max_value=4096, default=0, help_text="0: as many as can be.")
    rank = serializers.IntegerField(min_value=1, max_value=512, default=16)
    quantisation = serializers.ChoiceField(choices=list(QUANTISATIONS), required=False, default="")
    kv_bits = serializers.ChoiceField(choices=[8, 16], default=16)
    engine_kind = serializers.ChoiceField(choices=[kind.value for kind in EngineKind], required=False)
    gpu = serializers.ChoiceField(choices=[NO_GPU, *(gpu.name for gpu in GPUS)], required=False, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A model must be named, one way or the other."""
        if ("base_model" in attrs) == ("config" in attrs):
            raise serializers.ValidationError({"base_model": "Name a base model, or give a config, and not both."})
        return attrs

    def wish(self) -> Wish:
        """What was asked for."""
        return Wish.from_fields(self.validated_data)


class PartSerializer(serializers.Serializer[Any]):
    """A share of the memory; `exact` where it follows from the model, and not from experience."""

    name = serializers.CharField()
    bytes = serializers.IntegerField()
    exact = serializers.BooleanField()
    meaning = serializers.CharField()


class FitSerializer(serializers.Serializer[Any]):
    """So many GPUs of a kind hold the engine, which takes this share of each."""

    gpu = serializers.CharField()
    count = serializers.IntegerField()
    share = serializers.FloatField()


class EstimateSerializer(serializers.Serializer[Any]):
    """One engine's needs on each of its GPUs, and the options that a deployment would have."""

    quantisation = serializers.CharField()
    gpus = serializers.IntegerField(help_text="How many share the model; 0: main memory.")
    parts = PartSerializer(many=True)
    total_bytes = serializers.IntegerField()
    host_bytes = serializers.IntegerField(help_text="Main memory beside it, for adapters that wait for a slot.")
    fits = FitSerializer(many=True)
    options = serializers.DictField()
    flags = serializers.ListField(child=serializers.CharField())


class PlanSerializer(serializers.Serializer[Any]):
    """Which engine to choose and why, and what each would need."""

    model = serializers.CharField()
    engine_kind = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())
    remarks = serializers.ListField(child=serializers.CharField())
    engines = serializers.DictField(child=EstimateSerializer())
    refused = serializers.DictField(child=serializers.CharField())


class PlanView(PlatformView):
    """The capacity planner. It reckons and writes nothing, so who may read the platform may ask."""

    rights = {"POST": Right.PLATFORM_VIEW}

    @extend_schema(request=PlanRequestSerializer, responses=PlanSerializer)
    def post(self, request: Request) -> Response:
        """Plan a model: memory by part, the GPUs that it fits on, options, and which engine to choose and why."""
        asked = PlanRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        fields = asked.validated_data
        kind = EngineKind(fields["engine_kind"]) if "engine_kind" in fields else None
        if "base_model" in fields:
            found = plan_base_model(fields["base_model"], asked.wish(), engine=kind, gpu=fields["gpu"])
        else:
            found = plan_config(fields["config"], asked.wish(), engine=kind, gpu=fields["gpu"])
        return Response(plan_as_json(found))
