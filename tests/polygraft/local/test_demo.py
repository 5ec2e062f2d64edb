"""The demo is made once, and what works of it is kept."""

from pathlib import Path

import pytest
from django.utils import timezone
from knox.auth import TokenAuthentication

from polygraft.conf import config
from polygraft.local import demo as module
from polygraft.local.demo import demo_prepare
from polygraft.local.demo_file import DemoFile, demo_file_path, demo_file_read
from polygraft.local.problem import CannotStart
from serving.models import AdapterVersion, BaseModel, Deployment
from tenants.key_format import hash_key
from tenants.keys import key_revoke
from tenants.models import APIKey, AuditEvent, Department, User
from tenants.users import user_password_renew

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config(), "home", tmp_path)
    (tmp_path / "tmp").mkdir()


def _prepared() -> DemoFile:
    demo_prepare()
    return demo_file_read()


def _holds(demo: DemoFile) -> bool:
    """Whether every secret of the file opens what it should."""
    admin = User.objects.get(username=demo.username)
    by_token, _ = TokenAuthentication().authenticate_credentials(demo.admin_token.encode())
    keys = APIKey.objects.usable(timezone.now())
    return (
        admin.check_password(demo.password)
        and by_token == admin
        and admin.is_platform_admin
        and all(
            keys.filter(department__slug=slug, secret_hash=hash_key(secret)).exists()
            for slug, secret in demo.api_keys.items()
        )
    )


def test_two_departments_get_a_working_key_and_an_accepted_adapter_each() -> None:
    demo = _prepared()
    assert _holds(demo)
    assert sorted(demo.api_keys) == ["legal", "support"]
    assert demo_file_path().stat().st_mode & 0o777 == 0o600
    deployment = Deployment.objects.get()
    wanted = AdapterVersion.objects.wanted_on_engines(deployment.base_model_id)
    assert sorted(map(str, wanted)) == ["legal/contracts:1", "support/support-bot:1"]
    assert (deployment.base_model.name, deployment.engine_kind, deployment.replicas) == (demo.base_model, "llamacpp", 1)
    assert Path(deployment.base_model.gguf_path).is_file()


def test_a_second_time_nothing_is_made_and_nothing_changes() -> None:
    first = _prepared()
    events = AuditEvent.objects.count()
    assert _prepared() == first
    assert AuditEvent.objects.count() == events


def test_a_revoked_key_is_replaced_and_the_other_kept() -> None:
    first = _prepared()
    key_revoke(key=APIKey.objects.get(department__slug="support"), by=None)
    second = _prepared()
    assert _holds(second)
    assert second.api_keys["legal"] == first.api_keys["legal"]
    assert second.api_keys["support"] != first.api_keys["support"]


def test_a_lost_file_is_made_anew_with_secrets_that_work() -> None:
    first = _prepared()
    demo_file_path().unlink()
    second = _prepared()
    assert _holds(second)
    assert second.password != first.password


def test_a_password_that_somebody_has_changed_is_left_alone() -> None:
    _prepared()
    chosen = user_password_renew(user=User.objects.get(username="admin"), by=None)
    assert _prepared().password == ""
    assert User.objects.get(username="admin").check_password(chosen)


def test_a_base_model_that_has_moved_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = _prepared()
    here = Path(BaseModel.objects.get(name=demo.base_model).gguf_path)
    elsewhere = tmp_path / "elsewhere.gguf"
    elsewhere.symlink_to(here)
    BaseModel.objects.update(gguf_path="/gone.gguf")
    monkeypatch.setattr(config(), "demo_model_path", elsewhere)
    demo_prepare()
    assert BaseModel.objects.get(name=demo.base_model).gguf_path == str(here.resolve())


def test_a_base_model_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config(), "demo_model_path", Path("/no/such.gguf"))
    with pytest.raises(CannotStart, match=r"/no/such\.gguf.*POLYGRAFT_DEMO_MODEL_PATH"):
        demo_prepare()


def test_adapter_files_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADAPTERS_FOLDER", tmp_path)
    with pytest.raises(CannotStart, match=r"support-bot/adapter_config\.json is missing"):
        demo_prepare()
    assert Department.objects.filter(slug="support").exists()
