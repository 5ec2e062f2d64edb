"""What dead workers have left is swept up once it is old, and nothing that a version names or that is on its way."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from adapter_factory import small_adapter
from cast import Cast
from polygraft.conf import config
from polygraft.places import Bucket
from s3_server import client
from serving.adapters.store import content, sweep
from serving.adapters.store.bucket_storage import BucketStorage
from serving.adapters.store.contents import AdapterStore
from serving.adapters.store.folder_storage import FolderStorage
from serving.adapters.store.sweep import store_sweep
from serving.models import AdapterVersion, PlatformEvent, VersionState

Put = Callable[[int], str]


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdapterStore:
    bucket: Bucket | None = request.getfixturevalue("bucket") if request.param == "bucket" else None
    files = BucketStorage(bucket) if bucket else FolderStorage(location=tmp_path / "store")
    store = AdapterStore(files, tmp_path / "tmp")
    for module in (sweep, content):
        monkeypatch.setattr(module, "adapter_store", lambda: store)
    return store


@pytest.fixture
def put(store: AdapterStore, tmp_path: Path) -> Put:
    def put(seed: int) -> str:
        folder = small_adapter(seed=seed).write(tmp_path / f"adapter-{seed}")
        digest = store.put(folder)
        store.put_derived(digest, "smollm2.gguf", folder / "adapter_config.json")
        return digest

    return put


@pytest.fixture
def all_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "ON_ITS_WAY", timedelta(seconds=-60))


@pytest.mark.usefixtures("all_is_old")
def test_what_no_version_names_goes_and_is_told_of(cast: Cast, store: AdapterStore, put: Put) -> None:
    named, left, released = put(1), put(2), put(3)
    version = cast.adapter.versions.get(number=2)
    AdapterVersion.objects.filter(pk=version.pk).update(digest=named)
    AdapterVersion.objects.create(
        adapter=cast.adapter, number=3, state=VersionState.DELETED, digest=released, released_at=version.uploaded_at
    )
    assert store_sweep() >= 2
    assert store.digests() == {named}
    assert store.verify(named)
    assert not store.holds(left)
    event = PlatformEvent.objects.get(kind="store.swept")
    assert "2 contents of the store" in event.sentence
    assert store_sweep() == 0


def test_what_is_young_is_on_its_way_and_stays(cast: Cast, store: AdapterStore, put: Put) -> None:
    digest = put(1)
    assert store_sweep() == 0
    assert store.verify(digest)
    assert not PlatformEvent.objects.filter(kind="store.swept").exists()


@pytest.mark.usefixtures("all_is_old")
def test_a_version_that_takes_the_digest_at_the_last_moment_keeps_it(
    cast: Cast, store: AdapterStore, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(1)
    changed_since = store.changed_since

    def and_meanwhile(asked: str, moment: object) -> bool:
        cast.adapter.versions.filter(number=2).update(digest=digest)
        return changed_since(asked, moment)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "changed_since", and_meanwhile)
    assert store_sweep() == 0
    assert store.verify(digest)


@pytest.mark.django_db
def test_half_written_files_go_when_they_are_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = AdapterStore(FolderStorage(location=tmp_path / "store"), tmp_path / "tmp")
    monkeypatch.setattr(sweep, "adapter_store", lambda: store)
    incoming, scratch = tmp_path / "store" / "incoming", config().home / "tmp" / "intake-of-the-dead"
    incoming.mkdir(parents=True)
    scratch.mkdir()
    for name in ("old", "young"):
        (incoming / name).write_bytes(b"half")
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (incoming / "old", scratch):
        os.utime(path, (two_days_ago, two_days_ago))
    assert store_sweep() == 2
    assert [left.name for left in incoming.iterdir()] == ["young"]
    assert not scratch.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("all_is_old")
def test_pieces_of_an_upload_to_a_bucket_that_broke_off_go(
    endpoint: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "adapter_store", lambda: AdapterStore(BucketStorage(bucket), tmp_path / "tmp"))
    s3 = client(endpoint)
    ours = s3.create_multipart_upload(Bucket=bucket.bucket, Key="adapters/content/x/adapter_model.safetensors")
    other = s3.create_multipart_upload(Bucket=bucket.bucket, Key="elsewhere/x")
    for upload in (ours, other):
        s3.upload_part(Bucket=bucket.bucket, Key=upload["Key"], UploadId=upload["UploadId"], PartNumber=1, Body=b"half")
    assert store_sweep() >= 1
    left = s3.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", [])
    assert [upload["Key"] for upload in left] == ["elsewhere/x"]
