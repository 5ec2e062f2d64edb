"""The console's page of imports: a form, progress, and what went wrong."""

from pathlib import Path

import pytest

from cast import Cast
from polygraft.conf import config
from polygraft.places import FolderSource
from serving.models import AdapterImport, AdapterVersion, ImportState

PAGE = "/departments/support/adapters/import/"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = FolderSource(path=tmp_path, departments=frozenset({"support"}))
    monkeypatch.setattr(config(), "adapter_folders", {"training": place})


def test_an_import_begins_by_the_form_and_shows_how_far_it_is(cast: Cast, sign_in) -> None:
    body = {"source": "folder:training", "path": "run-7", "name": "fresh", "base_model": "smollm2"}
    assert sign_in("dan").post(PAGE, body).status_code == 302
    made = AdapterImport.objects.get(name="fresh")
    assert made.source == {"kind": "folder", "name": "training", "path": "run-7"}
    AdapterImport.objects.filter(pk=made.pk).update(state=ImportState.FETCHING, size_bytes=2000, arrived_bytes=500)
    html = sign_in("dan").get(PAGE).content.decode()
    assert "from the folder training/run-7" in html
    assert 'value="25"' in html
    assert "every 1s" in html


def test_a_failed_import_says_why_beside_it(cast: Cast, sign_in) -> None:
    cast.wish.delete()
    AdapterImport.objects.create(
        department=cast.support,
        name="fresh",
        base_model=cast.base_model,
        source={"kind": "hugging_face", "repo": "acme/x"},
        state=ImportState.FAILED,
        problem="There is no repository acme/x.",
    )
    html = sign_in("dan").get(PAGE).content.decode()
    assert "There is no repository acme/x." in html
    assert "every 1s" not in html


def test_a_wrong_path_is_told_in_the_form(cast: Cast, sign_in) -> None:
    body = {"source": "folder:training", "path": "../x", "name": "fresh", "base_model": "smollm2"}
    response = sign_in("dan").post(PAGE, body)
    assert response.status_code == 422
    assert "no path below the source" in response.content.decode()


def test_an_import_is_cancelled_after_a_question(cast: Cast, sign_in) -> None:
    made = AdapterImport.objects.create(
        department=cast.support, name="fresh", base_model=cast.base_model, source={"kind": "folder", "name": "training"}
    )
    page = f"/departments/support/imports/{made.pk}/cancel/"
    assert "Cancel the import" in sign_in("dan").get(page).content.decode()
    assert sign_in("dan").post(page).status_code == 302
    assert not AdapterImport.objects.filter(pk=made.pk).exists()


def test_a_version_shows_where_it_came_from(cast: Cast, sign_in) -> None:
    AdapterVersion.objects.filter(adapter=cast.adapter, number=2).update(
        source={"kind": "hugging_face", "repo": "acme/x", "revision": "main", "commit": "0123456789abcdef", "path": ""}
    )
    html = sign_in("vera").get("/departments/support/adapter/support-bot/").content.decode()
    assert "Hugging Face acme/x at main (0123456789ab)" in html
