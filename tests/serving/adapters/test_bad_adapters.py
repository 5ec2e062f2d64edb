"""A corpus of bad adapters: each is refused with its own reason, and none comes near an engine."""

import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bad_adapters.configurations import CONFIGURATIONS
from bad_adapters.evil import Evil
from bad_adapters.uploads import UPLOADS
from bad_adapters.weights import WEIGHTS_AT_FAULT
from cast import Cast
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.process import Bounds, Examination, examine_apart
from serving.adapters.intake import adapter_upload, version_take_in
from serving.adapters.reading.limits import MIB, Limits
from serving.models import AdapterVersion, VersionState

CORPUS = [*CONFIGURATIONS, *WEIGHTS_AT_FAULT, *UPLOADS]
BOUNDS = Bounds(seconds=20, memory_bytes=1024 * MIB)


def report_on(evil: Evil, folder: Path, base: BaseSpec) -> dict[str, Any]:
    evil.write(folder / "upload")
    return examine_apart(Examination(folder / "upload", folder / "adapter", base, Limits(), BOUNDS))


@pytest.mark.parametrize("evil", CORPUS, ids=lambda evil: evil.name)
def test_a_bad_adapter_is_refused_for_what_is_wrong_with_it(evil: Evil, base: BaseSpec, tmp_path: Path) -> None:
    report = report_on(evil, tmp_path, base)
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    assert not report["ok"]
    assert {finding["check"] for finding in errors} == {evil.check}
    assert any(evil.words in finding["message"] for finding in errors), errors
    assert all(finding["advice"] for finding in errors)


def test_the_corpus_is_large_and_no_two_are_refused_for_the_same_words() -> None:
    reasons = {(evil.check, evil.words) for evil in CORPUS}
    assert len(CORPUS) >= 60
    assert len({evil.name for evil in CORPUS}) == len(CORPUS)
    assert len(reasons) >= len(CORPUS) - 2


def test_a_worker_that_refuses_the_whole_corpus_takes_no_more_memory(base: BaseSpec, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(len(CORPUS))]
    for evil, folder in zip(CORPUS, folders, strict=True):
        folder.mkdir()
        evil.write(folder / "upload")
    resident = []
    for _ in range(2):
        for folder in folders:
            shutil.rmtree(folder / "adapter", ignore_errors=True)
            assert not examine_apart(Examination(folder / "upload", folder / "adapter", base, Limits(), BOUNDS))["ok"]
        resident.append(_resident_bytes())
    assert resident[1] - resident[0] < 4 * MIB


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.django_db
def test_nothing_of_the_corpus_is_ever_meant_for_an_engine(cast: Cast, tmp_path: Path) -> None:
    for number, evil in enumerate(CORPUS[::9]):
        folder = tmp_path / str(number)
        folder.mkdir()
        evil.write(folder / "upload")
        files = [(file.name, io.BytesIO(file.read_bytes())) for file in sorted((folder / "upload").iterdir())]
        version = adapter_upload(
            department=cast.support, name=f"evil-{number}", base_model=cast.base_model, files=files, by=None
        )
        version_take_in(version.pk)
        version.refresh_from_db()
        assert (version.state, version.digest) == (VersionState.REJECTED, ""), evil.name
        assert version not in AdapterVersion.objects.wanted_on_engines(cast.base_model.pk)
