"""The store keeps what it was given, once, under the digest of its bytes."""

import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapter_factory import small_adapter
from serving.adapters.digest import adapter_digest, manifest
from serving.adapters.store import AdapterStore


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(tmp_path / "store")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return small_adapter().write(tmp_path / "adapter")


def test_an_adapter_is_found_under_the_digest_of_its_bytes(store: AdapterStore, adapter: Path) -> None:
    digest = store.put(adapter)
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in adapter.iterdir()}
    assert digest == hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert {file.name: file.read_bytes() for file in store.path(digest).iterdir()} == {
        file.name: file.read_bytes() for file in adapter.iterdir()
    }


def test_equal_bytes_are_stored_once_and_other_bytes_apart(store: AdapterStore, adapter: Path, tmp_path: Path) -> None:
    first = store.put(adapter)
    assert store.put(adapter) == first
    assert store.put(small_adapter(seed=1).write(tmp_path / "other")) != first
    assert len(list(store.path(first).parent.iterdir())) == 2


def test_stored_files_are_read_only_and_no_links_to_the_upload(store: AdapterStore, adapter: Path) -> None:
    for file in store.path(store.put(adapter)).iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o444
        assert file.stat().st_ino != (adapter / file.name).stat().st_ino


def test_two_writers_of_the_same_bytes_do_not_disturb_each_other(store: AdapterStore, adapter: Path) -> None:
    with ThreadPoolExecutor(8) as writers:
        digests = set(writers.map(lambda _: store.put(adapter), range(24)))
    assert len(digests) == 1
    assert store.verify(digests.pop())


def test_nothing_is_left_of_a_write_that_failed(
    store: AdapterStore, adapter: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.put(adapter)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_changed_bytes_are_noticed(store: AdapterStore, adapter: Path) -> None:
    digest = store.put(adapter)
    assert store.verify(digest)
    config = store.path(digest) / "adapter_config.json"
    config.chmod(0o644)
    config.write_text("{}")
    assert not store.verify(digest)


def test_content_that_is_not_there_does_not_verify(store: AdapterStore) -> None:
    assert not store.verify("0" * 64)


def test_removing_takes_the_content_and_what_was_made_from_it(store: AdapterStore, adapter: Path) -> None:
    digest = store.put(adapter)
    derived = store.derived_path(digest, "adapter.gguf")
    derived.write_bytes(b"x")
    store.remove(digest)
    assert not store.path(digest).exists()
    assert not derived.exists()
    store.remove(digest)


def test_content_can_be_stored_again_after_it_was_removed(store: AdapterStore, adapter: Path) -> None:
    digest = store.put(adapter)
    store.remove(digest)
    assert store.put(adapter) == digest
    assert store.verify(digest)


@pytest.mark.parametrize("digest", ["", "..", "../" * 21 + "x", "A" * 64, "0" * 63, "0" * 64 + "\n", "0" * 64 + "/.."])
def test_what_is_no_digest_never_becomes_a_path(digest: str, store: AdapterStore) -> None:
    for use in (store.path, store.verify, store.remove, lambda digest: store.derived_path(digest, "x")):
        with pytest.raises(ValueError, match="no digest"):
            use(digest)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a" * 200, "x\0"])
def test_a_derived_file_has_a_plain_name(name: str, store: AdapterStore) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        store.derived_path("0" * 64, name)


def test_the_digest_does_not_depend_on_the_order_of_the_files(adapter: Path) -> None:
    files = manifest(adapter)
    assert adapter_digest(dict(reversed(files.items()))) == adapter_digest(files)
