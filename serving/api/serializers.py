"""The management API's representation of base models, adapters, deployments, engines, nodes, events."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from serving.accounting.prices import Prices
from serving.engines.kinds import EngineKind
from serving.fleet.deployments import WISHES
from serving.fleet.registry import EngineEntry
from serving.models import Adapter, AdapterVersion, BaseModel, Deployment, Engine, Node, PlatformEvent, Upload
from serving.uploads.lifecycle import upload_offset
from tenants.models import Department


def _price(**options: Any) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=12, decimal_places=6, min_value=Decimal(0), **options)


class PricesSerializer(serializers.Serializer[Any]):
    """What a million tokens cost, in the platform's currency."""

    prompt = _price()
    cached = _price(required=False, help_text="Of prompt tokens that were in the prefix cache; left out: as `prompt`.")
    completion = _price()

    def to_internal_value(self, data: Any) -> Any:
        """The three prices."""
        fields = super().to_internal_value(data)
        return Prices(**{"cached": fields["prompt"], **fields})


class BaseModelSerializer(serializers.ModelSerializer[BaseModel]):
    """A base model as everyone sees it; paths are for admins (`BaseModelAdminSerializer`)."""

    prices = PricesSerializer(read_only=True)

    class Meta:
        model = BaseModel
        fields = ["name", "source", "takes_adapters", "prices", "created_at"]


class BaseModelAdminSerializer(serializers.ModelSerializer[BaseModel]):
    """A base model with its files and who may use it."""

    departments = serializers.SlugRelatedField(
        slug_field="slug", many=True, queryset=Department.objects.all(), required=False
    )
    prices = PricesSerializer(required=False)

    class Meta:
        model = BaseModel
        fields = [
            "name",
            "source",
            "gguf_path",
            "hf_path",
            "takes_adapters",
            "open_to_all",
            "departments",
            "prices",
            "created_at",
        ]


class BaseModelPricesSerializer(serializers.Serializer[Any]):
    """What may change of a base model."""

    prices = PricesSerializer()


class VersionSerializer(serializers.ModelSerializer[AdapterVersion]):
    """An adapter version and the report of its checks."""

    version = serializers.IntegerField(source="number")
    uploaded_by = serializers.CharField(source="uploaded_by.username", default=None, read_only=True)

    class Meta:
        model = AdapterVersion
        fields = [
            "version",
            "state",
            "digest",
            "size_bytes",
            "report",
            "source",
            "notes",
            "uploaded_by",
            "uploaded_at",
            "ready_at",
            "keep",
            "archived_at",
            "archived_because",
            "deleted_at",
        ]


class AdapterSerializer(serializers.ModelSerializer[Adapter]):
    """An adapter in a list."""

    base_model = serializers.SlugRelatedField[BaseModel](slug_field="name", read_only=True)
    rollout = serializers.SerializerMethodField()
    tier = serializers.CharField(read_only=True, help_text="Where the placement leads now: lightweight or standard.")

    class Meta:
        model = Adapter
        fields = ["name", "base_model", "rollout", "placement", "tier", "created_at", "archived_at"]

    def get_rollout(self, adapter: Adapter) -> dict[str, int]:
        """Version number → share in percent."""
        return {str(number): share for number, share in adapter.weights.items()}


class AdapterDetailSerializer(AdapterSerializer):
    """An adapter with all its versions, the newest first."""

    versions = serializers.SerializerMethodField()

    class Meta(AdapterSerializer.Meta):
        fields = [*AdapterSerializer.Meta.fields, "versions"]

    @extend_schema_field(VersionSerializer(many=True))
    def get_versions(self, adapter: Adapter) -> Any:
        """With who uploaded each, in one query."""
        return VersionSerializer(adapter.versions.select_related("uploaded_by"), many=True).data


class UploadSerializer(serializers.Serializer[Any]):
    """An upload, as multipart/form-data; every file part counts, whatever the name of its field."""

    name = serializers.CharField(max_length=64, help_text="The adapter's name, new or existing.")
    base_model = serializers.CharField(max_length=64, help_text="The name of the base model it was trained on.")
    notes = serializers.CharField(required=False, default="", allow_blank=True, max_length=10_000)
    files = serializers.ListField(
        child=serializers.FileField(),
        required=False,
        help_text="adapter_config.json and adapter_model.safetensors, or one .zip, .tar or .tar.gz.",
    )


class FromUploadsSerializer(serializers.Serializer[Any]):
    """A version made of files that came in pieces; see the uploads of a department."""

    name = serializers.CharField(max_length=64, help_text="The adapter's name, new or existing.")
    base_model = serializers.CharField(max_length=64, help_text="The name of the base model it was trained on.")
    notes = serializers.CharField(required=False, default="", allow_blank=True, max_length=10_000)
    uploads = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=10, help_text="The ids of complete uploads."
    )


class UploadStateSerializer(serializers.ModelSerializer[Upload]):
    """An upload on its way."""

    offset = serializers.SerializerMethodField()

    class Meta:
        model = Upload
        fields = ["id", "file_name", "size_bytes", "offset", "created_at"]

    def get_offset(self, upload: Upload) -> int:
        """Bytes that have arrived."""
        return upload_offset(upload)


class UploadedSerializer(serializers.Serializer[Any]):
    """What became of an upload so far."""

    name = serializers.CharField()
    version = serializers.IntegerField()
    state = serializers.CharField()


class PinnedField(serializers.ListField):
    """Adapters that stay on a deployment's engines, as `department/adapter`."""

    child = serializers.CharField(max_length=130)

    def to_representation(self, value: Any) -> list[str]:
        """Their names."""
        return [f"{adapter.department.slug}/{adapter.name}" for adapter in value.select_related("department")]

    def to_internal_value(self, data: Any) -> list[Any]:
        """The living adapters of these names."""
        names = super().to_internal_value(data)
        found = []
        for name in names:
            slug, _, adapter = name.partition("/")
            one = Adapter.objects.alive().filter(department__slug=slug, name=adapter).first()
            if one is None:
                raise serializers.ValidationError(f"There is no adapter {name}. Write department/adapter.")
            found.append(one)
        return found


class DeploymentSerializer(serializers.ModelSerializer[Deployment]):
    """A deployment."""

    base_model = serializers.SlugRelatedField(slug_field="name", queryset=BaseModel.objects.all())
    engine_kind = serializers.ChoiceField(choices=[kind.value for kind in EngineKind])
    replicas = serializers.IntegerField(min_value=0, max_value=64, default=1)
    min_replicas = serializers.IntegerField(min_value=1, max_value=64, default=1)
    max_replicas = serializers.IntegerField(min_value=1, max_value=64, default=None, allow_null=True)
    idle_minutes = serializers.IntegerField(min_value=1, max_value=100_000, default=None, allow_null=True)
    concurrency = serializers.IntegerField(min_value=1, max_value=4096, default=4)
    adapter_slots = serializers.IntegerField(min_value=1, max_value=100_000, default=32)
    options = serializers.DictField(default=dict)
    node_selector = serializers.DictField(child=serializers.CharField(max_length=200), default=dict)
    pinned = PinnedField(default=list)

    class Meta:
        model = Deployment
        fields = [
            "id",
            "base_model",
            "engine_kind",
            *WISHES,
            "pinned",
            "asleep_since",
            "created_at",
        ]
        read_only_fields = ["asleep_since"]


class DeploymentChangeSerializer(DeploymentSerializer):
    """What may change of a deployment; what is left out stays."""

    base_model = serializers.SlugRelatedField(slug_field="name", read_only=True)
    engine_kind = serializers.ChoiceField(choices=[kind.value for kind in EngineKind], read_only=True)


class EngineSerializer(serializers.ModelSerializer[Engine]):
    """An engine, living or ended; `failure` is what it failed of, and `error` its last words."""

    node = serializers.SlugRelatedField[Node](slug_field="name", read_only=True)
    base_model = serializers.CharField(source="deployment.base_model.name", read_only=True)
    engine_kind = serializers.CharField(source="deployment.engine_kind", read_only=True)
    deployment = serializers.PrimaryKeyRelatedField[Deployment](read_only=True)
    adapters = serializers.SerializerMethodField(help_text="How many adapter versions it has loaded.")
    running = serializers.SerializerMethodField(help_text="Requests that it works on.")
    waiting = serializers.SerializerMethodField(help_text="Requests that wait in it.")
    kv_usage = serializers.SerializerMethodField(help_text="Share of its KV cache in use; 1 is all of it.")

    class Meta:
        model = Engine
        fields = [
            "id",
            "deployment",
            "base_model",
            "engine_kind",
            "node",
            "state",
            "gpus",
            "pid",
            "adapters",
            "running",
            "waiting",
            "kv_usage",
            "failure",
            "error",
            "created_at",
            "ready_at",
            "ended_at",
        ]

    def get_adapters(self, engine: Engine) -> int:
        """Counted in the live registry."""
        entry = self._entry(engine)
        return len(entry.resident) if entry else 0

    def get_running(self, engine: Engine) -> int:
        """As the engine measured it."""
        entry = self._entry(engine)
        return entry.running if entry else 0

    def get_waiting(self, engine: Engine) -> int:
        """As the engine measured it."""
        entry = self._entry(engine)
        return entry.waiting if entry else 0

    def get_kv_usage(self, engine: Engine) -> float:
        """As the engine measured it."""
        entry = self._entry(engine)
        return entry.kv_usage if entry else 0.0

    def _entry(self, engine: Engine) -> EngineEntry | None:
        entries: dict[str, EngineEntry] = self.context["entries"]
        return entries.get(str(engine.pk))


class EngineLogSerializer(serializers.Serializer[Any]):
    """The last lines of an engine's log, the oldest first."""

    lines = serializers.ListField(child=serializers.CharField())

    class Query(serializers.Serializer[Any]):
        """How many are asked for."""

        lines = serializers.IntegerField(min_value=1, max_value=400, required=False)


class NodeSerializer(serializers.ModelSerializer[Node]):
    """A node; `state` is `alive`, or `lost` once its agent has not spoken for 12 seconds."""

    alive = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField()

    class Meta:
        model = Node
        fields = ["name", "address", "alive", "state", "facts", "first_seen_at", "last_seen_at"]

    def get_alive(self, node: Node) -> bool:
        """Read from the live registry."""
        living: set[str] = self.context["living"]
        return node.name in living

    def get_state(self, node: Node) -> str:
        """The same in a word."""
        return "alive" if self.get_alive(node) else "lost"


class PlatformEventSerializer(serializers.ModelSerializer[PlatformEvent]):
    """What the platform decided or noticed; fields that name what it is about are null where they do not apply."""

    base_model = serializers.SlugRelatedField[BaseModel](slug_field="name", read_only=True)
    node = serializers.SlugRelatedField[Node](slug_field="name", read_only=True)
    department = serializers.SlugRelatedField[Department](slug_field="slug", read_only=True)
    adapter = serializers.SlugRelatedField[Adapter](slug_field="name", read_only=True)

    class Meta:
        model = PlatformEvent
        fields = [
            "id",
            "at",
            "last_at",
            "times",
            "kind",
            "is_problem",
            "sentence",
            "base_model",
            "deployment",
            "engine",
            "node",
            "department",
            "adapter",
        ]
