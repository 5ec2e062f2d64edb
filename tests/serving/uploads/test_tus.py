"""Uploads in pieces by tus: begun, continued where they stopped, turned into a version, given up."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from adapter_factory import small_adapter
from cast import Cast
from serving.models import AdapterVersion, Upload
from serving.uploads.arriving_file import ArrivingFile
from serving.uploads.lifecycle import KEPT, MOST_OPEN, upload_create, upload_path, uploads_expire

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = "application/offset+octet-stream"
URL = "/api/v1/departments/support/uploads"


@pytest.fixture
def dan(cast: Cast) -> APIClient:
    client = APIClient()
    client.force_authenticate(cast.people["dan"])
    return client


def begin(client: APIClient, size: int | str, name: str = "adapter_config.json", **headers: str) -> Any:
    told = base64.b64encode(name.encode()).decode()
    return client.post(URL, headers=TUS | {"Upload-Length": str(size), "Upload-Metadata": f"filename {told}"} | headers)


def piece(client: APIClient, url: str, offset: int, content: bytes, content_type: str = PIECE) -> Any:
    return client.patch(url, content, content_type=content_type, headers=TUS | {"Upload-Offset": str(offset)})


def offset(client: APIClient, url: str) -> int:
    answer = client.head(url, headers=TUS)
    assert answer["Cache-Control"] == "no-store"
    return int(answer["Upload-Offset"])


def test_a_file_arrives_in_pieces_and_its_offset_is_told(dan: APIClient) -> None:
    begun = begin(dan, 6)
    assert begun.status_code == 201
    assert begun["Upload-Expires"].endswith("GMT")
    url = begun["Location"]
    assert offset(dan, url) == 0
    assert piece(dan, url, 0, b"abc")["Upload-Offset"] == "3"
    assert offset(dan, url) == 3
    answer = piece(dan, url, 3, b"def")
    assert (answer.status_code, answer["Upload-Offset"], answer["Tus-Resumable"]) == (204, "6", "1.0.0")


def test_files_that_have_arrived_become_a_version(dan: APIClient, cast: Cast, tmp_path: Any) -> None:
    ids = []
    for file in sorted(small_adapter().write(tmp_path / "adapter").iterdir()):
        content = file.read_bytes()
        url = begin(dan, len(content), file.name)["Location"]
        piece(dan, url, 0, content[:1000])
        piece(dan, url, len(content[:1000]), content[1000:])
        ids.append(url.rpartition("/")[2])
    wish = {"name": "fresh", "base_model": "smollm2", "notes": "in pieces", "uploads": ids}
    answer = dan.post("/api/v1/departments/support/adapters", wish)
    assert (answer.status_code, answer.json()["state"]) == (202, "uploaded")
    version = AdapterVersion.objects.get(adapter__name="fresh")
    assert (version.notes, version.size_bytes) == (
        "in pieces",
        sum(file.stat().st_size for file in (tmp_path / "adapter").iterdir()),
    )
    assert not Upload.objects.filter(pk__in=ids).exists()


@pytest.mark.parametrize("state", ["unfinished", "unknown"])
def test_a_version_is_made_of_whole_files_of_the_department_only(dan: APIClient, cast: Cast, state: str) -> None:
    foreign = upload_create(department=cast.legal, file_name="x", size_bytes=1, by=cast.people["lena"])  # type: ignore[arg-type]
    wanted = cast.upload if state == "unfinished" else foreign
    wish = {"name": "fresh", "base_model": "smollm2", "uploads": [str(wanted.pk)]}
    answer = dan.post("/api/v1/departments/support/adapters", wish)
    assert answer.status_code == 400
    [sentence] = answer.json()["errors"]["uploads"]
    assert ("0 of 9 bytes" if state == "unfinished" else "There is no upload") in sentence
    assert not AdapterVersion.objects.filter(adapter__name="fresh").exists()


def test_a_piece_from_the_wrong_place_is_a_conflict_and_changes_nothing(dan: APIClient) -> None:
    url = begin(dan, 6)["Location"]
    piece(dan, url, 0, b"abc")
    for wrong in (0, 2, 4, 99):
        answer = piece(dan, url, wrong, b"x")
        assert answer.status_code == 409
        assert "number 3" in answer.json()["detail"]
    assert offset(dan, url) == 3


def test_more_than_the_announced_size_is_refused(dan: APIClient) -> None:
    url = begin(dan, 3)["Location"]
    assert piece(dan, url, 0, b"abcd").status_code == 400
    assert offset(dan, url) == 0


def test_a_second_writer_is_sent_away(dan: APIClient, cast: Cast) -> None:
    with ArrivingFile(upload_path(cast.upload)):
        answer = piece(dan, f"{URL}/{cast.upload.pk}", 0, b"abc")
    assert (answer.status_code, answer.json()["code"]) == (423, "locked")


def test_a_piece_of_another_content_type_is_refused(dan: APIClient, cast: Cast) -> None:
    assert piece(dan, f"{URL}/{cast.upload.pk}", 0, b"{}", "application/json").status_code == 415


def test_another_version_of_the_protocol_is_refused_and_ours_told(dan: APIClient) -> None:
    answer = begin(dan, 3, **{"Tus-Resumable": "0.2.2"})
    assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")


def test_what_the_server_can_do_is_told(dan: APIClient) -> None:
    answer = dan.options(URL)
    assert (answer["Tus-Version"], answer["Tus-Extension"]) == ("1.0.0", "creation,expiration,termination")
    assert int(answer["Tus-Max-Size"]) > 2**30


@pytest.mark.parametrize("size", [0, -1, "x", 10**15, "9" * 30, "١"])
def test_a_size_that_makes_no_sense_or_is_too_large_is_refused(dan: APIClient, size: int | str) -> None:
    assert begin(dan, size).status_code == 400


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "x" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(dan: APIClient, name: str) -> None:
    assert begin(dan, 3, name).status_code == 400


def test_metadata_that_is_no_base64_is_refused(dan: APIClient) -> None:
    for told in ("filename ???", "filename /w==", "other YQ=="):
        answer = begin(dan, 3, **{"Upload-Metadata": told})
        assert "Upload-Metadata" in answer.json()["errors"]


def test_an_upload_that_is_given_up_is_gone(
    dan: APIClient, cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    url = f"{URL}/{cast.upload.pk}"
    with django_capture_on_commit_callbacks(execute=True):
        assert dan.delete(url, headers=TUS).status_code == 204
    assert dan.head(url, headers=TUS).status_code == 404
    assert not upload_path(cast.upload).exists()


def test_a_department_has_a_bounded_number_of_unfinished_uploads(dan: APIClient, cast: Cast) -> None:
    Upload.objects.bulk_create(
        Upload(department=cast.support, file_name="x", size_bytes=1) for _ in range(MOST_OPEN - 1)
    )
    answer = begin(dan, 3)
    assert answer.status_code == 400
    assert "unfinished uploads" in str(answer.json()["errors"])


def test_only_uploads_that_nobody_continues_expire(cast: Cast) -> None:
    old = timezone.now() - KEPT - timedelta(minutes=1)
    lost = upload_create(department=cast.support, file_name="x", size_bytes=1, by=cast.people["dan"])  # type: ignore[arg-type]
    upload_path(lost).unlink()
    Upload.objects.update(created_at=old)
    uploads_expire()
    assert list(Upload.objects.all()) == [cast.upload]
