"""Adapters come in from folders, buckets and a hub: to whom they are open, whole, and with where they came from."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from rest_framework.test import APIClient

from adapter_factory import small_adapter
from cast import Cast
from hub_server import COMMIT, Hub, hub_server
from polygraft.conf import config
from polygraft.live import redis_client
from polygraft.places import BucketSource, FolderSource
from s3_server import bucket_at, client, s3_server
from serving.adapters.intake import version_take_in
from serving.adapters.quotas import quota_use
from serving.adapters.signing import signing_key_add
from serving.fleet.registry import ENGINES_KEY
from serving.imports.bucket import BucketOrigin
from serving.imports.folder import FolderOrigin
from serving.imports.lifecycle import MOST_MOVING, SILENT, import_create, import_delete, import_run, imports_expire
from serving.imports.origin import SourceProblem
from serving.models import AdapterImport, AdapterVersion, ImportState, Upload
from signer import Signer
from tenants.models import AuditEvent

IMPORTS = "/api/v1/departments/support/imports"


@pytest.fixture(autouse=True)
def _no_engines() -> None:
    redis_client().delete(ENGINES_KEY)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return small_adapter().write(tmp_path / "adapter")


@pytest.fixture
def folders(tmp_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders of the server: one that is open to support, and one to legal."""
    root = tmp_path / "served"
    (root / "support").mkdir(parents=True)
    (root / "legal").mkdir()
    adapter.rename(root / "support" / "run-7")
    monkeypatch.setattr(
        config(),
        "adapter_folders",
        {
            "training": FolderSource(path=root / "support", departments=frozenset({"support"})),
            "contracts": FolderSource(path=root / "legal", departments=frozenset({"legal"})),
        },
    )
    return root


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def bucket(endpoint: str, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> BucketSource:
    """A bucket with an adapter, open to support below `adapters/support`."""
    place = bucket_at(endpoint, "training")
    for folder in ("support/run-7", "support-secret"):
        for file in adapter.iterdir():
            client(endpoint).put_object(Bucket="training", Key=f"adapters/{folder}/{file.name}", Body=file.read_bytes())
    source = BucketSource(
        **(place.model_dump() | {"prefix": "adapters/support", "departments": frozenset({"support"})})
    )
    monkeypatch.setattr(config(), "adapter_buckets", {"training": source})
    return source


@pytest.fixture
def hub(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {file.name: file.read_bytes() for file in adapter.iterdir()}
    below = {f"checkpoint/{name}": content for name, content in files.items()}
    repos = {
        "acme/support-bot": {**files, **below, "README.md": b"# Hi", "optimizer.pt": b"x" * 9999},
        "acme/private": files,
        "acme/pickled": {"adapter_config.json": b"{}", "adapter_model.bin": b"x"},
    }
    with hub_server(repos) as hub:
        hub.private.add("acme/private")
        monkeypatch.setattr(config(), "hf_endpoint", hub.endpoint)
        yield hub


def wish(cast: Cast, source: dict[str, Any], by: str = "dan", name: str = "fresh") -> AdapterImport:
    person = cast.people[by]
    assert person is not None
    return import_create(
        department=cast.support, name=name, base_model=cast.base_model, source=source, by=person, notes="from afar"
    )


def run(made: AdapterImport) -> AdapterImport:
    import_run(str(made.pk))
    made.refresh_from_db()
    return made


def version_of(made: AdapterImport) -> AdapterVersion:
    assert made.version is not None, made.problem
    version_take_in(made.version.pk)
    made.version.refresh_from_db()
    return made.version


FOLDER = {"kind": "folder", "name": "training", "path": "run-7"}
BUCKET = {"kind": "bucket", "name": "training", "path": "run-7"}
REPO = {"kind": "hugging_face", "repo": "acme/support-bot"}


def test_an_adapter_comes_from_a_folder_of_the_server(cast: Cast, folders: Path) -> None:
    made = run(wish(cast, FOLDER))
    version = version_of(made)
    assert (made.state, version.state, version.notes) == ("done", "ready", "from afar")
    assert version.source == {"kind": "folder", "name": "training", "path": "run-7"}
    assert made.arrived_bytes == made.size_bytes == version.size_bytes
    assert AuditEvent.objects.filter(action="adapter.import", target="fresh").exists()


def test_signatures_and_card_come_along(cast: Cast, folders: Path) -> None:
    signer = Signer()
    signing_key_add(department=cast.support, name="release", public_key=signer.public_key, by=None)
    run_7 = folders / "support" / "run-7"
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (run_7 / f"{name}.minisig").write_bytes(signer.sign((run_7 / name).read_bytes()))
    (run_7 / "README.md").write_text("---\nlicense: mit\n---\n")
    facts = version_of(run(wish(cast, FOLDER))).report["facts"]
    assert (facts["signed_by"], facts["license"]) == (f"{signer.key_id} (by a test)", ["mit"])


def test_an_adapter_comes_from_a_bucket_with_its_etags(cast: Cast, bucket: BucketSource) -> None:
    version = version_of(run(wish(cast, BUCKET)))
    assert version.state == "ready"
    assert set(version.source.pop("etags")) == {"adapter_config.json", "adapter_model.safetensors"}
    assert version.source == {"kind": "bucket", "name": "training", "path": "run-7"}


@pytest.mark.parametrize("path", ["", "checkpoint"])
def test_an_adapter_comes_from_a_hub_pinned_to_its_commit(cast: Cast, hub: Hub, path: str) -> None:
    version = version_of(run(wish(cast, REPO | {"path": path})))
    assert version.state == "ready"
    assert (version.source["commit"], version.source["revision"]) == (COMMIT, "main")
    fetched = {asked.rpartition("/")[2] for method, asked, _ in hub.seen if "/resolve/" in asked and method == "GET"}
    card = {"README.md"} if path == "" else set()
    assert fetched == {"adapter_config.json", "adapter_model.safetensors"} | card
    assert all(COMMIT in asked for _, asked, _ in hub.seen if "/resolve/" in asked)


def test_an_archive_comes_as_one(cast: Cast, folders: Path) -> None:
    shutil.make_archive(str(folders / "support" / "packed"), "gztar", folders / "support" / "run-7")
    version = version_of(run(wish(cast, FOLDER | {"path": "packed.tar.gz"})))
    assert version.state == "ready"


def test_what_is_open_to_another_department_does_not_exist(cast: Cast, folders: Path) -> None:
    api = APIClient()
    api.force_authenticate(cast.people["dan"])
    body = {"name": "fresh", "base_model": "smollm2"}
    answers = [
        api.post(IMPORTS, body | {"source": {"kind": "folder", "name": name}}, format="json").json()["errors"]["source"]
        for name in ("contracts", "no-such")
    ]
    assert answers[0][0].replace("contracts", "no-such") == answers[1][0]
    sources = api.get("/api/v1/departments/support/sources").json()
    assert sources == [{"kind": "folder", "name": "training"}, {"kind": "hugging_face", "name": ""}]
    # An admin may.
    assert wish(cast, {"kind": "folder", "name": "contracts"}, by="ada").state == ImportState.WAITING


def test_what_was_closed_meanwhile_is_not_read(cast: Cast, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = wish(cast, FOLDER)
    monkeypatch.setattr(config(), "adapter_folders", {"training": FolderSource(path=folders / "support")})
    assert "no folder training" in run(made).problem


@pytest.mark.parametrize("path", ["..", "../legal", "run-7/../../legal", "/../legal", "a//b", "run-7/\0", "..\\legal"])
def test_a_path_never_leads_out_of_its_folder(cast: Cast, folders: Path, path: str) -> None:
    with pytest.raises(SourceProblem, match="no path below"):
        FolderOrigin("training", folders / "support", path)


def test_links_are_not_followed_whatever_they_point_to(cast: Cast, folders: Path) -> None:
    secret = folders / "legal" / "adapter_config.json"
    secret.write_text("{}")
    (folders / "support" / "link").symlink_to(folders / "legal")
    (folders / "support" / "sly").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folders / "support" / "sly" / name).symlink_to(secret)
    assert "no folder or archive" in run(wish(cast, FOLDER | {"path": "link"})).problem
    assert "There is nothing." in run(wish(cast, FOLDER | {"path": "sly"})).problem


def test_a_file_that_becomes_a_link_or_a_pipe_while_it_is_looked_at_is_not_read(folders: Path, tmp_path: Path) -> None:
    origin = FolderOrigin("training", folders / "support", "run-7")
    items = origin.items()
    config_file = folders / "support" / "run-7" / "adapter_config.json"
    config_file.unlink()
    config_file.symlink_to("/etc/passwd")
    with pytest.raises(SourceProblem, match="cannot be read"):
        origin.bring(items[0], tmp_path, lambda _: None)
    config_file.unlink()
    os.mkfifo(config_file)
    (tmp_path / "pipe").mkdir()
    with pytest.raises(SourceProblem, match="no plain file"):
        origin.bring(items[0], tmp_path / "pipe", lambda _: None)


def test_a_prefix_does_not_reach_into_its_neighbour(bucket: BucketSource) -> None:
    with pytest.raises(SourceProblem, match="no path below"):
        BucketOrigin("training", bucket, "../support-secret")
    with pytest.raises(SourceProblem, match="nothing under"):
        BucketOrigin("training", bucket, "-secret").items()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (FOLDER | {"path": "run-8"}, "no folder or archive run-8"),
        (FOLDER | {"path": "run-8.zip"}, "no folder or archive run-8.zip"),
        (FOLDER | {"path": ""}, "There is nothing."),
    ],
)
def test_what_is_not_there_is_said(cast: Cast, folders: Path, source: dict[str, Any], words: str) -> None:
    made = run(wish(cast, source))
    assert made.state == ImportState.FAILED
    assert words in made.problem


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"repo": "acme/nothing"}, "no repository acme/nothing"),
        ({"repo": "acme/private"}, "no repository acme/private"),
        ({"repo": "a/b/c/d"}, "no repository's name"),
        ({"repo": "acme/support-bot", "revision": "v9"}, "no revision v9"),
        ({"repo": "acme/pickled"}, "There is adapter_config.json, adapter_model.bin."),
    ],
)
def test_a_hub_that_has_it_not_is_understood(cast: Cast, hub: Hub, source: dict[str, Any], words: str) -> None:
    assert words in run(wish(cast, {"kind": "hugging_face", **source})).problem


def test_the_platforms_token_goes_only_where_its_setting_says(
    cast: Cast, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config(), "hf_token", SecretStr(hub.token))
    private = {"kind": "hugging_face", "repo": "acme/private"}
    assert "or it is private" in run(wish(cast, private)).problem
    assert all(hub.token not in token for _, _, token in hub.seen)
    monkeypatch.setattr(config(), "hf_token_repos", {"acme/*": ["legal"]})
    assert "or it is private" in run(wish(cast, private)).problem
    monkeypatch.setattr(config(), "hf_token_repos", {"acme/*": ["support"]})
    assert run(wish(cast, private)).state == ImportState.DONE
    monkeypatch.setattr(config(), "hf_token_repos", {})
    assert run(wish(cast, private, by="ada")).state == ImportState.DONE


def test_a_hub_out_of_reach_is_said_with_what_to_do(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config(), "hf_endpoint", "http://127.0.0.1:9")
    problem = run(wish(cast, REPO)).problem
    assert "cannot be reached from the platform's network" in problem
    assert "HF_ENDPOINT" in problem


def test_a_bucket_out_of_reach_is_said(cast: Cast, bucket: BucketSource, monkeypatch: pytest.MonkeyPatch) -> None:
    away = bucket.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    monkeypatch.setattr(config(), "adapter_buckets", {"training": away})
    assert "does not answer" in run(wish(cast, BUCKET)).problem


def test_hugging_face_can_be_switched_off(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    made = wish(cast, REPO)
    monkeypatch.setattr(config(), "hugging_face", False)
    assert "does not import from Hugging Face" in run(made).problem


def test_an_import_over_a_limit_is_refused_before_it_is_copied(
    cast: Cast, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("It was copied.")

    monkeypatch.setattr(FolderOrigin, "bring", never)
    Upload.objects.all().delete()
    cast.support.quota_bytes = 1000
    cast.support.save()
    assert "may hold 1000 bytes" in run(wish(cast, FOLDER)).problem
    assert quota_use(cast.support).bytes == 0
    monkeypatch.setattr(config(), "max_upload_bytes", 1000)
    assert "this platform takes at most 1000" in run(wish(cast, FOLDER)).problem


def test_what_an_import_has_announced_counts_until_it_has_ended(
    cast: Cast, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Upload.objects.all().delete()
    during = []
    bring = FolderOrigin.bring

    def watched(self: FolderOrigin, *arguments: Any) -> None:
        during.append(quota_use(cast.support).bytes)
        bring(self, *arguments)

    monkeypatch.setattr(FolderOrigin, "bring", watched)
    made = run(wish(cast, FOLDER))
    assert during == [made.size_bytes, made.size_bytes]
    assert quota_use(cast.support).bytes == made.size_bytes


def test_an_import_that_is_cancelled_stops_and_leaves_nothing(
    cast: Cast, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = wish(cast, FOLDER)
    bring = FolderOrigin.bring

    def cancelled(self: FolderOrigin, *arguments: Any) -> None:
        import_delete(AdapterImport.objects.get(pk=made.pk))
        bring(self, *arguments)

    monkeypatch.setattr(FolderOrigin, "bring", cancelled)
    import_run(str(made.pk))
    assert not AdapterVersion.objects.filter(adapter__name="fresh").exists()
    assert list((config().home / "uploads").glob("importing-*")) == []


def test_a_task_delivered_twice_makes_one_version(cast: Cast, folders: Path) -> None:
    made = wish(cast, FOLDER)
    run(made)
    run(made)
    assert AdapterVersion.objects.filter(adapter__name="fresh").count() == 1


def test_imports_of_a_department_are_bounded_and_those_broken_off_end(cast: Cast, folders: Path) -> None:
    AdapterImport.objects.all().delete()
    for _ in range(MOST_MOVING):
        wish(cast, FOLDER)
    with pytest.raises(Exception, match="under way already"):
        wish(cast, FOLDER)
    old = AdapterImport.objects.all()[0].moved_at - 2 * SILENT
    AdapterImport.objects.update(moved_at=old)
    imports_expire()
    assert set(AdapterImport.objects.values_list("state", flat=True)) == {ImportState.FAILED}


def test_an_import_is_asked_for_and_followed_over_rest(cast: Cast, folders: Path) -> None:
    api = APIClient()
    api.force_authenticate(cast.people["dan"])
    body = {"name": "fresh", "base_model": "smollm2", "source": FOLDER}
    made = api.post(IMPORTS, body, format="json")
    assert (made.status_code, made.json()["state"]) == (202, "waiting")
    import_run(made.json()["id"])
    shown = api.get(f"{IMPORTS}/{made.json()['id']}").json()
    assert (shown["state"], shown["version"], shown["problem"]) == ("done", 1, "")
    versions = api.get("/api/v1/departments/support/adapters/fresh").json()["versions"]
    assert versions[0]["source"] == FOLDER
    assert api.get(f"{IMPORTS}?search=fresh").json()["count"] == 1
    assert api.delete(f"{IMPORTS}/{made.json()['id']}").status_code == 204
