"""The way of an upload through the database: numbered, examined, stored or refused."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from django.core.exceptions import ValidationError

from adapter_factory import small_adapter
from cast import Cast
from polygraft.live import redis_client
from published_engine import publish_engine
from serving.adapters.intake import adapter_upload, version_take_in
from serving.adapters.retirement import adapter_delete
from serving.adapters.store.contents import AdapterStore
from serving.adapters.store.files import adapter_store, gguf_name, upload_folder
from serving.adapters.store.node_copies import NodeCopies
from serving.adapters.store.store_errors import StoreUnavailable
from serving.fleet.registry import ENGINES_KEY
from serving.models import Adapter, AdapterVersion, BaseModel, VersionState
from serving.tasks import take_in_version
from tenants.models import AuditEvent, Department


@pytest.fixture(autouse=True)
def _no_engines() -> None:
    redis_client().delete(ENGINES_KEY)


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[str, BinaryIO]]:
    small_adapter().write(tmp_path / "adapter")
    return [(path.name, io.BytesIO(path.read_bytes())) for path in sorted((tmp_path / "adapter").iterdir())]


def upload(
    cast: Cast, files: Sequence[tuple[str, BinaryIO]], name: str = "fresh", department: Department | None = None
) -> AdapterVersion:
    for _, content in files:
        content.seek(0)
    return adapter_upload(
        department=department or cast.support,
        name=name,
        base_model=cast.base_model,
        files=files,
        by=cast.people["dan"],
        notes="a try",
    )


def state(version: AdapterVersion) -> str:
    version.refresh_from_db()
    return version.state


def test_a_good_upload_becomes_ready_and_is_rolled_out(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    version = upload(cast, files)
    assert (version.number, version.state) == (1, VersionState.UPLOADED)
    version_take_in(version.pk)
    assert state(version) == VersionState.READY
    assert Adapter.objects.get(pk=version.adapter_id).weights == {1: 100}
    assert version.report["ok"] is True
    assert adapter_store().verify(version.digest)
    assert adapter_store().holds_derived(version.digest, gguf_name("smollm2"))
    assert not upload_folder(version.pk).exists()


def test_a_second_version_waits_for_somebodys_word(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    for _ in range(2):
        version_take_in(upload(cast, files).pk)
    adapter = Adapter.objects.get(name="fresh")
    assert list(adapter.versions.values_list("number", "state")) == [(2, "ready"), (1, "ready")]
    assert adapter.weights == {1: 100}


def test_while_an_engine_runs_a_version_waits_for_its_probe(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    publish_engine(cast)
    version = upload(cast, files)
    version_take_in(version.pk)
    assert state(version) == VersionState.VALIDATING
    assert version.digest
    assert version in AdapterVersion.objects.wanted_on_engines(cast.base_model.pk)


def test_a_bad_upload_is_rejected_and_keeps_its_report(cast: Cast) -> None:
    version = upload(cast, [("adapter_config.json", io.BytesIO(b"{}")), ("adapter_model.bin", io.BytesIO(b"\x80\x04"))])
    version_take_in(version.pk)
    assert state(version) == VersionState.REJECTED
    assert version.report["findings"][0]["message"]
    assert Adapter.objects.get(pk=version.adapter_id).weights == {}
    assert AuditEvent.objects.filter(action="adapter_version.reject", target="fresh:1").exists()


def test_a_task_delivered_twice_does_no_harm(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    version = upload(cast, files)
    version_take_in(version.pk)
    version_take_in(version.pk)
    assert state(version) == VersionState.READY


def test_a_task_whose_worker_died_is_taken_up_again(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    version = upload(cast, files)
    AdapterVersion.objects.filter(pk=version.pk).update(state=VersionState.VALIDATING)
    version_take_in(version.pk)
    assert state(version) == VersionState.READY


def test_an_upload_waits_for_a_store_that_is_away(
    cast: Cast, files: list[tuple[str, BinaryIO]], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = upload(cast, files)
    put, states = AdapterStore.put, []

    def put_at_the_third_try(store: AdapterStore, folder: Path) -> str:
        states.append(state(version))
        if len(states) < 3:
            raise StoreUnavailable("away")
        return put(store, folder)

    monkeypatch.setattr(AdapterStore, "put", put_at_the_third_try)
    take_in_version.apply(args=[version.pk])
    assert states == [VersionState.VALIDATING] * 3
    assert state(version) == VersionState.READY


def test_identical_bytes_are_stored_once_for_two_departments(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    versions = [upload(cast, files, department=department) for department in (cast.support, cast.legal)]
    for version in versions:
        version_take_in(version.pk)
        assert state(version) == VersionState.READY
    assert versions[0].digest == versions[1].digest


def test_an_adapter_has_one_base_model(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    upload(cast, files)
    other = BaseModel.objects.create(name="other", gguf_path=cast.base_model.gguf_path)
    with pytest.raises(ValidationError, match="is an adapter for smollm2"):
        adapter_upload(department=cast.support, name="fresh", base_model=other, files=files, by=None)


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "../x", "a b", "-a", "a" * 65, "smollm2", "ü", "a:1"])
def test_a_name_that_cannot_be_called_is_refused_before_the_bytes_are_kept(
    cast: Cast, files: list[tuple[str, BinaryIO]], name: str
) -> None:
    with pytest.raises(ValidationError):
        upload(cast, files, name=name)
    assert not Adapter.objects.filter(name=name, department=cast.support).exists()


@pytest.mark.parametrize("name", ["..", "", "a\0b", "x" * 300])
def test_a_file_with_an_impossible_name_is_refused(cast: Cast, name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be called"):
        upload(cast, [(name, io.BytesIO(b"x"))])


def test_a_path_in_a_files_name_counts_for_nothing(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    version = upload(cast, [(f"../../etc\\{name}", content) for name, content in files])
    version_take_in(version.pk)
    assert state(version) == VersionState.READY


def test_two_files_of_one_name_are_refused(cast: Cast) -> None:
    with pytest.raises(ValidationError, match=r"Two files are called a\.json"):
        upload(cast, [("x/a.json", io.BytesIO(b"1")), ("y/a.json", io.BytesIO(b"2"))])


def test_a_deleted_adapters_name_is_free_again(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    first = upload(cast, files)
    version_take_in(first.pk)
    adapter_delete(adapter=first.adapter, by=None)
    second = upload(cast, files)
    assert second.adapter_id != first.adapter_id
    assert second.number == 1


def test_a_nodes_copy_outlives_the_stores(cast: Cast, files: list[tuple[str, BinaryIO]], tmp_path: Path) -> None:
    version = upload(cast, files)
    version_take_in(version.pk)
    version.refresh_from_db()
    copies = NodeCopies(tmp_path / "node")
    copies.fetch(version.digest, "smollm2")
    adapter_store().remove(version.digest)
    kept = copies.fetch(version.digest, "smollm2")
    assert kept.gguf_file.stat().st_size > 0
    assert {path.name for path in kept.peft_folder.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    copies.keep_only(set())
    assert not kept.gguf_file.exists()
