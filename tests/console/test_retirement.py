"""Archiving, restoring and deleting in the console: what is said before, what must be typed, what shows after."""

from cast import Cast
from serving.adapters.retirement import version_archive
from serving.models import AdapterVersion, VersionState

PAGE = "/departments/support/adapter/support-bot/"


def state(cast: Cast, number: int) -> str:
    return cast.adapter.versions.get(number=number).state


def test_a_version_is_archived_and_restored(cast: Cast, sign_in) -> None:
    dan = sign_in("dan")
    assert "Archive version 2?" in dan.get(f"{PAGE}version/2/archive/").content.decode()
    dan.post(f"{PAGE}version/2/archive/")
    assert state(cast, 2) == VersionState.ARCHIVED
    html = dan.get(PAGE).content.decode()
    assert "version/2/restore/" in html
    assert "version/2/archive/" not in html
    dan.post(f"{PAGE}version/2/restore/")
    assert state(cast, 2) == VersionState.READY


def test_a_version_is_deleted_only_by_typing_its_name(cast: Cast, sign_in) -> None:
    dan = sign_in("dan")
    for wrong in ("support-bot", "support-bot:1", "2", ""):
        assert dan.post(f"{PAGE}version/2/delete/", {"confirm": wrong}).status_code in (200, 422)
        assert state(cast, 2) == VersionState.READY
    dan.post(f"{PAGE}version/2/delete/", {"confirm": "support-bot:2"})
    assert state(cast, 2) == VersionState.DELETED
    assert "version/2/delete/" not in dan.get(PAGE).content.decode()


def test_a_rolled_out_version_says_why_it_stays(cast: Cast, sign_in) -> None:
    dan = sign_in("dan")
    html = dan.get(f"{PAGE}version/1/delete/").content.decode()
    assert "100 % of the bare name&#x27;s requests" in html
    assert "Delete version</button>" not in html
    answer = dan.post(f"{PAGE}version/1/delete/", {"confirm": "support-bot:1"}, follow=True).content.decode()
    assert "Roll another version out first." in answer
    assert state(cast, 1) == VersionState.READY


def test_deleting_an_adapter_tells_what_uses_it(cast: Cast, sign_in) -> None:
    html = sign_in("dan").get(f"{PAGE}delete/").content.decode()
    assert "It is shared with sales." in html
    assert "Version 1 answers 100 %" in html


def test_an_archived_adapter_shows_as_such_and_comes_back(cast: Cast, sign_in) -> None:
    dan = sign_in("dan")
    dan.post(f"{PAGE}archive/")
    assert "nobody can call it" in dan.get(PAGE).content.decode()
    assert "archived</span>" in dan.get("/departments/support/").content.decode()
    assert "support-bot" not in dan.get("/departments/support/try/").content.decode()
    dan.post(f"{PAGE}restore/")
    assert "nobody can call it" not in dan.get(PAGE).content.decode()


def test_notes_and_the_mark_keep_are_changed(cast: Cast, sign_in) -> None:
    dan = sign_in("dan")
    dan.post(f"{PAGE}version/2/notes/", {"notes": "Trained on May's tickets.", "keep": "on"})
    version = cast.adapter.versions.get(number=2)
    assert (version.notes, version.keep) == ("Trained on May's tickets.", True)
    assert "Trained on May&#x27;s tickets." in dan.get(PAGE).content.decode()


def test_a_version_that_retention_archived_says_why(cast: Cast, sign_in) -> None:
    version: AdapterVersion = cast.adapter.versions.get(number=2)
    version_archive(version=version, by=None, because="older than the newest 3")
    assert "older than the newest 3" in sign_in("vera").get(PAGE).content.decode()
