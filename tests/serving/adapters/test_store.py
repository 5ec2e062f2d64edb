"""The store keeps what it was given, once, under the digest of its bytes: in a folder, and in a bucket of a real S3."""

import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapter_factory import small_adapter
from polygraft.places import Bucket
from s3_server import client
from serving.adapters.reading.digest import adapter_digest, manifest
from serving.adapters.store.bucket_storage import BucketStorage
from serving.adapters.store.contents import AdapterStore
from serving.adapters.store.folder_storage import FolderStorage
from serving.adapters.store.store_errors import Damaged, StoreUnavailable

DIGEST = "0" * 64


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> AdapterStore:
    if request.param == "folder":
        return AdapterStore(FolderStorage(location=tmp_path / "store"), tmp_path / "tmp")
    return AdapterStore(BucketStorage(request.getfixturevalue("bucket")), tmp_path / "tmp")


@pytest.fixture
def folder_store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(FolderStorage(location=tmp_path / "store"), tmp_path / "tmp")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return small_adapter().write(tmp_path / "adapter")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_an_adapter_is_found_under_the_digest_of_its_bytes(store: AdapterStore, adapter: Path, tmp_path: Path) -> None:
    digest = store.put(adapter)
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in adapter.iterdir()}
    assert digest == hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    store.fetch(digest, tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == contents(adapter)


def test_equal_bytes_are_stored_once_and_other_bytes_apart(
    endpoint: str, bucket: Bucket, adapter: Path, tmp_path: Path
) -> None:
    store = AdapterStore(BucketStorage(bucket), tmp_path / "tmp")
    first = store.put(adapter)
    assert store.put(adapter) == first
    second = store.put(small_adapter(seed=1).write(tmp_path / "other"))
    keys = [item["Key"] for item in client(endpoint).list_objects_v2(Bucket=bucket.bucket)["Contents"]]
    names = ("adapter_config.json", "adapter_model.safetensors")
    assert sorted(keys) == sorted(f"adapters/content/{digest}/{name}" for digest in (first, second) for name in names)


def test_stored_files_are_read_only_and_no_links_to_the_upload(
    folder_store: AdapterStore, adapter: Path, tmp_path: Path
) -> None:
    digest = folder_store.put(adapter)
    for file in (tmp_path / "store" / "content" / digest).iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o444
        assert file.stat().st_ino != (adapter / file.name).stat().st_ino


def test_two_writers_of_the_same_bytes_do_not_disturb_each_other(store: AdapterStore, adapter: Path) -> None:
    with ThreadPoolExecutor(8) as writers:
        digests = set(writers.map(lambda _: store.put(adapter), range(16)))
    assert len(digests) == 1
    assert store.verify(digests.pop())


def test_nothing_is_left_of_a_write_that_failed(
    folder_store: AdapterStore, adapter: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder_store.put(adapter)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_changed_bytes_are_noticed_and_never_handed_out(
    folder_store: AdapterStore, adapter: Path, tmp_path: Path
) -> None:
    digest = folder_store.put(adapter)
    assert folder_store.verify(digest)
    config = tmp_path / "store" / "content" / digest / "adapter_config.json"
    config.chmod(0o644)
    config.write_text("{}")
    assert not folder_store.verify(digest)
    with pytest.raises(Damaged, match="not those that were accepted"):
        folder_store.fetch(digest, tmp_path / "fetched")


def test_an_object_changed_in_its_bucket_is_never_handed_out(
    endpoint: str, bucket: Bucket, adapter: Path, tmp_path: Path
) -> None:
    store = AdapterStore(BucketStorage(bucket), tmp_path / "tmp")
    digest = store.put(adapter)
    (tmp_path / "made.gguf").write_bytes(b"GGUF")
    store.put_derived(digest, "base.gguf", tmp_path / "made.gguf")
    for key in (f"content/{digest}/adapter_config.json", f"derived/{digest}/base.gguf"):
        client(endpoint).put_object(Bucket=bucket.bucket, Key=f"adapters/{key}", Body=b"{}")
    with pytest.raises(Damaged):
        store.fetch(digest, tmp_path / "fetched")
    with pytest.raises(Damaged):
        store.fetch_derived(digest, "base.gguf", tmp_path / "base.gguf")


def test_a_store_that_loses_a_file_while_it_is_written_keeps_no_digest(
    folder_store: AdapterStore, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallow(self: FolderStorage, name: str, content: object) -> str:
        return name

    monkeypatch.setattr(FolderStorage, "_save", swallow)
    with pytest.raises(StoreUnavailable, match="does not give back"):
        folder_store.put(adapter)


def test_content_that_is_not_there_does_not_verify(store: AdapterStore, tmp_path: Path) -> None:
    assert not store.verify(DIGEST)
    with pytest.raises(FileNotFoundError):
        store.fetch(DIGEST, tmp_path / "fetched")
    with pytest.raises(FileNotFoundError):
        store.fetch_derived(DIGEST, "base.gguf", tmp_path / "base.gguf")


def test_what_was_made_of_content_comes_back_as_it_was(store: AdapterStore, adapter: Path, tmp_path: Path) -> None:
    digest = store.put(adapter)
    assert not store.holds_derived(digest, "base.gguf")
    (tmp_path / "made.gguf").write_bytes(b"GGUF" * 1000)
    store.put_derived(digest, "base.gguf", tmp_path / "made.gguf")
    assert store.holds_derived(digest, "base.gguf")
    store.fetch_derived(digest, "base.gguf", tmp_path / "fetched.gguf")
    assert (tmp_path / "fetched.gguf").read_bytes() == b"GGUF" * 1000


def test_removing_takes_the_content_and_what_was_made_from_it(
    store: AdapterStore, adapter: Path, tmp_path: Path
) -> None:
    digest = store.put(adapter)
    (tmp_path / "made.gguf").write_bytes(b"x")
    store.put_derived(digest, "adapter.gguf", tmp_path / "made.gguf")
    assert store.holds(digest)
    store.remove(digest)
    assert not store.holds(digest)
    assert not store.verify(digest)
    assert not store.holds_derived(digest, "adapter.gguf")
    store.remove(digest)


def test_removing_leaves_nothing_behind_and_nothing_else_goes(
    folder_store: AdapterStore, adapter: Path, tmp_path: Path
) -> None:
    digest = folder_store.put(adapter)
    other = folder_store.put(small_adapter(seed=1).write(tmp_path / "other"))
    folder_store.remove(digest)
    assert [path.name for path in (tmp_path / "store" / "content").iterdir()] == [other]
    assert folder_store.verify(other)


def test_content_can_be_stored_again_after_it_was_removed(store: AdapterStore, adapter: Path) -> None:
    digest = store.put(adapter)
    store.remove(digest)
    assert store.put(adapter) == digest
    assert store.verify(digest)


def test_a_file_of_many_pieces_comes_back_whole(endpoint: str, bucket: Bucket, tmp_path: Path) -> None:
    """Over the size from which it is sent in parts."""
    large = tmp_path / "large"
    large.mkdir()
    (large / "adapter_model.safetensors").write_bytes(os.urandom(1 << 20) * 20)
    store = AdapterStore(BucketStorage(bucket), tmp_path / "tmp")
    digest = store.put(large)
    store.fetch(digest, tmp_path / "fetched")
    assert manifest(tmp_path / "fetched") == manifest(large)


def test_a_store_that_is_away_or_refuses_says_so(bucket: Bucket, adapter: Path, tmp_path: Path) -> None:
    wrong_key = bucket.model_copy(update={"access_key": "stranger"})
    away = bucket.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    for place, words in ((wrong_key, "refused"), (away, "does not answer")):
        store = AdapterStore(BucketStorage(place), tmp_path / "tmp")
        for use in (lambda store=store: store.put(adapter), lambda store=store: store.verify(DIGEST)):
            with pytest.raises(StoreUnavailable, match=words):
                use()


@pytest.mark.parametrize("digest", ["", "..", "../" * 21 + "x", "A" * 64, "0" * 63, "0" * 64 + "\n", "0" * 64 + "/.."])
def test_what_is_no_digest_never_becomes_a_path(digest: str, folder_store: AdapterStore, tmp_path: Path) -> None:
    uses = (
        lambda digest: folder_store.fetch(digest, tmp_path / "x"),
        folder_store.verify,
        folder_store.remove,
        lambda digest: folder_store.holds_derived(digest, "x"),
    )
    for use in uses:
        with pytest.raises(ValueError, match="no digest"):
            use(digest)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a" * 200, "x\0"])
def test_a_derived_file_has_a_plain_name(name: str, folder_store: AdapterStore) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        folder_store.holds_derived(DIGEST, name)


def test_the_digest_does_not_depend_on_the_order_of_the_files(adapter: Path) -> None:
    files = manifest(adapter)
    assert adapter_digest(dict(reversed(files.items()))) == adapter_digest(files)
