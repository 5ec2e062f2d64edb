"""The fixed cast of every test: who they are, and what the two departments own."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from demo_model import demo_model_path
from serving.engines.kinds import EngineKind
from serving.models import (
    Adapter,
    AdapterImport,
    AdapterShare,
    AdapterVersion,
    BaseModel,
    Comparison,
    Deployment,
    Engine,
    Node,
    Rollout,
    RolloutChange,
    Upload,
    VersionState,
)
from serving.uploads.lifecycle import upload_create
from tenants.keys import key_create
from tenants.models import APIKey, Department, Membership, PlatformRole, Role, User

PASSWORD = "correct horse battery staple"
DIGEST = "ab" * 32


@dataclass
class Cast:
    """Two departments. In support: Olga owns, Dan develops, Vera views. Lena owns legal and is a stranger to support.

    Ada administers the platform, Audrey audits it. Nobody signs in as None. Support shares support-bot with
    "sales", which does not exist, and may call legal/clauses, of which there is no version yet.
    """

    support: Department
    legal: Department
    people: dict[str, User | None]
    key: APIKey
    secret: str
    legal_key: APIKey
    legal_secret: str
    base_model: BaseModel
    adapter: Adapter
    deployment: Deployment
    engine: Engine
    upload: Upload
    wish: AdapterImport
    comparison: Comparison


def make_cast() -> Cast:
    """Create everybody and everything in the database."""
    support = Department.objects.create(slug="support", name="Support")
    legal = Department.objects.create(slug="legal", name="Legal")
    people: dict[str, User | None] = {"nobody": None}
    for name, role in (("ada", PlatformRole.ADMIN), ("audrey", PlatformRole.AUDITOR)):
        people[name] = _person(name, platform_role=role)
    for name, department, member_role in (
        ("olga", support, Role.OWNER),
        ("dan", support, Role.DEVELOPER),
        ("vera", support, Role.VIEWER),
        ("lena", legal, Role.OWNER),
    ):
        person = people[name] = _person(name)
        Membership.objects.create(user=person, department=department, role=member_role)
    key, secret = key_create(department=support, name="chat", by=None)
    legal_key, legal_secret = key_create(department=legal, name="contracts", by=None)
    base_model = BaseModel.objects.create(
        name="smollm2", source="HuggingFaceTB/SmolLM2-135M-Instruct", gguf_path=str(demo_model_path())
    )
    adapter = Adapter.objects.create(department=support, name="support-bot", base_model=base_model)
    AdapterVersion.objects.create(adapter=adapter, number=1, state=VersionState.READY, digest=DIGEST)
    AdapterVersion.objects.create(adapter=adapter, number=2, state=VersionState.READY, digest=DIGEST[::-1])
    Rollout.objects.create(adapter=adapter, weights={"1": 100}, stable=1)
    # Version 2 was tried before.
    for weights in ({"2": 100}, {"1": 100}):
        RolloutChange.objects.create(adapter=adapter, weights=weights)
    # One that nobody has, or so it seems from support; and one of legal's that nothing is rolled out of yet.
    AdapterShare.objects.create(adapter=adapter, receiver="sales")
    clauses = Adapter.objects.create(department=legal, name="clauses", base_model=base_model)
    AdapterShare.objects.create(adapter=clauses, receiver="support")
    deployment = Deployment.objects.create(base_model=base_model, engine_kind=EngineKind.LLAMACPP)
    node = Node.objects.create(name="node-1", address="127.0.0.1", last_seen_at="2026-01-01T00:00:00Z")
    engine = Engine.objects.create(deployment=deployment, node=node, state="stopped")
    upload = upload_create(department=support, file_name="adapter_config.json", size_bytes=9, by=people["dan"])
    wish = AdapterImport.objects.create(
        department=support, name="imported", base_model=base_model, source={"kind": "hugging_face", "repo": "acme/bot"}
    )
    comparison = Comparison.objects.create(
        adapter=adapter,
        name="greetings",
        candidates=["support-bot:1", "support-bot:2"],
        sampling={"temperature": 0, "max_tokens": 16},
        prompt_count=0,
        created_by=people["dan"],
    )
    return Cast(
        support=support,
        legal=legal,
        people=people,
        key=key,
        secret=secret,
        legal_key=legal_key,
        legal_secret=legal_secret,
        base_model=base_model,
        adapter=adapter,
        deployment=deployment,
        engine=engine,
        upload=upload,
        wish=wish,
        comparison=comparison,
    )


def engine_put(engine: Engine, state: str, **fields: Any) -> None:
    """Put an engine into a state, as if it had come there by the states before."""
    QuerySet(Engine).filter(pk=engine.pk).update(state=state, **fields)


def _person(name: str, **fields: Any) -> User:
    user = User(username=name, email=f"{name}@example.org", **fields)
    user.set_password(PASSWORD)
    user.save()
    return user


def adapters_make(cast: Cast, numbers: range) -> list[Adapter]:
    """More adapters of support, one for each number, with one version each that is rolled out."""
    made = []
    for number in numbers:
        adapter = Adapter.objects.create(department=cast.support, name=f"bot-{number}", base_model=cast.base_model)
        AdapterVersion.objects.create(adapter=adapter, number=1, state=VersionState.READY, digest=f"{number:064x}")
        Rollout.objects.create(adapter=adapter, weights={"1": 100})
        made.append(adapter)
    return made
