"""Archiving, restoring and deleting: what follows for calls, engines and bytes, and what is refused."""

import io
from pathlib import Path
from typing import BinaryIO

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from adapter_factory import small_adapter
from cast import Cast
from polygraft.live import redis_client
from published_engine import publish_engine
from serving.adapters import intake
from serving.adapters.intake import adapter_upload, version_take_in
from serving.adapters.lifecycle import version_reject
from serving.adapters.retirement import (
    adapter_archive,
    adapter_delete,
    adapter_restore,
    version_archive,
    version_delete,
    version_restore,
)
from serving.adapters.store.content import contents_release
from serving.adapters.store.files import adapter_store
from serving.adapters.uses import uses_of_adapter, uses_of_version
from serving.engines.names import engine_adapter_name
from serving.fleet.registry import ENGINES_KEY
from serving.models import Adapter, AdapterVersion, Comparison, UsageRecord, VersionState
from serving.models.comparison import ComparisonState
from serving.rollouts import rollout_set
from tenants.models import AuditEvent, Department


@pytest.fixture(autouse=True)
def _no_engines() -> None:
    redis_client().delete(ENGINES_KEY)


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[str, BinaryIO]]:
    small_adapter().write(tmp_path / "adapter")
    return [(path.name, io.BytesIO(path.read_bytes())) for path in sorted((tmp_path / "adapter").iterdir())]


@pytest.fixture
def second(cast: Cast) -> AdapterVersion:
    """The version of support-bot that is not rolled out."""
    return cast.adapter.versions.get(number=2)


def stored(
    cast: Cast, files: list[tuple[str, BinaryIO]], department: Department, name: str = "fresh"
) -> AdapterVersion:
    for _, content in files:
        content.seek(0)
    version = adapter_upload(department=department, name=name, base_model=cast.base_model, files=files, by=None)
    version_take_in(version.pk)
    version.refresh_from_db()
    assert version.state == VersionState.READY
    return version


def wanted(cast: Cast) -> set[int]:
    found = AdapterVersion.objects.wanted_on_engines(cast.base_model.pk)
    return set(found.filter(adapter=cast.adapter).values_list("number", flat=True))


def test_an_archived_version_leaves_the_engines_and_comes_back(cast: Cast, second: AdapterVersion) -> None:
    version_archive(version=second, by=cast.people["dan"])
    assert wanted(cast) == {1}
    assert second.archived_at is not None
    with pytest.raises(ValidationError, match="is not ready"):
        rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    version_restore(version=second, by=cast.people["dan"])
    assert wanted(cast) == {1, 2}
    assert (second.state, second.archived_at) == (VersionState.READY, None)
    actions = AuditEvent.objects.filter(target="support-bot:2").order_by("id").values_list("action", "actor_name")
    assert list(actions) == [("adapter_version.archive", "dan"), ("adapter_version.restore", "dan")]


@pytest.mark.parametrize("act", [version_archive, version_delete])
@pytest.mark.parametrize("weights", [{1: 100}, {1: 1, 2: 99}])
def test_a_version_that_a_rollout_uses_is_neither_archived_nor_deleted(
    cast: Cast, act, weights: dict[int, int]
) -> None:
    rollout_set(adapter=cast.adapter, weights=weights, by=None)
    version = cast.adapter.versions.get(number=1)
    with pytest.raises(ValidationError, match=r"answers \d+ % of support-bot's requests"):
        act(version=version, by=None)
    version.refresh_from_db()
    assert version.state == VersionState.READY


@pytest.mark.parametrize(
    ("act", "state"),
    [
        (version_archive, VersionState.VALIDATING),
        (version_archive, VersionState.REJECTED),
        (version_archive, VersionState.ARCHIVED),
        (version_archive, VersionState.DELETED),
        (version_restore, VersionState.READY),
        (version_restore, VersionState.DELETED),
        (version_delete, VersionState.UPLOADED),
        (version_delete, VersionState.VALIDATING),
        (version_delete, VersionState.DELETED),
    ],
)
def test_a_move_that_the_state_does_not_allow_is_refused_and_says_so(second: AdapterVersion, act, state: str) -> None:
    AdapterVersion.objects.filter(pk=second.pk).update(state=state)
    with pytest.raises(ValidationError, match=f"Version 2 is {state}"):
        act(version=second, by=None)
    assert not AuditEvent.objects.filter(target="support-bot:2").exists()


def test_an_archived_adapter_comes_back_as_it_was(cast: Cast) -> None:
    adapter_archive(adapter=cast.adapter, by=cast.people["dan"])
    assert wanted(cast) == set()
    adapter = Adapter.objects.get(pk=cast.adapter.pk)
    with pytest.raises(ValidationError, match="is archived"):
        rollout_set(adapter=adapter, weights={2: 100}, by=None)
    with pytest.raises(ValidationError, match="is archived"):
        adapter_upload(department=cast.support, name="support-bot", base_model=cast.base_model, files=[], by=None)
    adapter_restore(adapter=adapter, by=cast.people["dan"])
    assert wanted(cast) == {1, 2}
    assert Adapter.objects.get(pk=adapter.pk).weights == {1: 100}
    assert adapter.shares.count() == 1


def test_a_deleted_versions_bytes_leave_the_store(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    first, again = stored(cast, files, cast.support), stored(cast, files, cast.support)
    assert first.digest == again.digest
    version_delete(version=again, by=None)
    assert contents_release() == 0
    assert adapter_store().verify(first.digest)
    adapter_delete(adapter=first.adapter, by=None)
    assert contents_release() == 1
    assert not adapter_store().holds(first.digest)
    assert contents_release() == 0


def test_a_deleted_adapters_comparisons_go_with_it(cast: Cast) -> None:
    assert cast.adapter.comparisons.count() == 1
    adapter_archive(adapter=cast.adapter, by=None)
    assert cast.adapter.comparisons.count() == 1
    adapter_delete(adapter=cast.adapter, by=None)
    assert not Comparison.objects.exists()


def test_bytes_that_another_department_has_stay(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    mine, theirs = stored(cast, files, cast.support), stored(cast, files, cast.legal)
    adapter_delete(adapter=mine.adapter, by=None)
    contents_release()
    assert adapter_store().verify(theirs.digest)
    adapter_archive(adapter=theirs.adapter, by=None)
    contents_release()
    assert adapter_store().verify(theirs.digest)


def test_bytes_that_an_engine_refused_leave_the_store(cast: Cast, files: list[tuple[str, BinaryIO]]) -> None:
    version = stored(cast, files, cast.support)
    AdapterVersion.objects.filter(pk=version.pk).update(state=VersionState.VALIDATING)
    version_reject(version, report={"ok": False, "findings": []})
    assert contents_release() == 1
    assert not adapter_store().holds(version.digest)


def test_the_same_bytes_uploaded_while_they_are_let_go_of_are_there_in_the_end(
    cast: Cast, files: list[tuple[str, BinaryIO]], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = stored(cast, files, cast.support)
    adapter_delete(adapter=old.adapter, by=None)
    keep = intake._keep

    def crossing(version: AdapterVersion, folder: Path) -> str:
        digest = keep(version, folder)
        # After the bytes were found to be there, and before the version has said that it needs them.
        contents_release()
        return digest

    monkeypatch.setattr(intake, "_keep", crossing)
    new = stored(cast, files, cast.legal)
    assert new.digest == old.digest
    assert adapter_store().verify(new.digest)


def test_what_uses_a_version_is_told_before(cast: Cast, second: AdapterVersion) -> None:
    assert uses_of_version(second).sentences == ["It is in 1 comparison not finished yet."]
    Comparison.objects.update(state=ComparisonState.CANCELLED)
    assert uses_of_version(second).sentences == []
    for number in (1, 2):
        UsageRecord.objects.create(
            request_id=f"r{number}",
            at=timezone.now(),
            department=cast.support,
            endpoint="chat",
            model=f"support-bot:{number}",
            adapter_version=cast.adapter.versions.get(number=number),
            outcome="finished",
            status=200,
            duration_ms=1,
        )
    publish_engine(cast, resident=frozenset({engine_adapter_name(second.digest)}))
    cast.deployment.pinned.add(cast.adapter)
    assert uses_of_version(second).sentences == [
        "It answered 1 request in the last 7 days, 1 of them by its number.",
        "Loaded on 1 engine, which then let go of it.",
    ]
    assert uses_of_adapter(cast.adapter).sentences == [
        "Version 1 answers 100 % of the bare name's requests.",
        "It answered 2 requests in the last 7 days.",
        "It is shared with sales.",
        "1 deployment would always hold it.",
        "Loaded on 1 engine, which then let go of it.",
    ]
