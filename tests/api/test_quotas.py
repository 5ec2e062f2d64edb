"""Quotas of bytes and adapters: set by admins, told to the department, kept at every way in."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from adapter_factory import small_adapter
from asgi_request import request
from cast import Cast
from polygraft.asgi import application
from serving.adapters.intake import adapter_upload, version_take_in
from serving.adapters.retirement import version_archive, version_delete
from serving.models import Adapter, AdapterVersion, Upload, VersionState
from tenants.models import AuditEvent

QUOTAS = "/api/v1/departments/support/quotas"
ADAPTERS = "/api/v1/departments/support/adapters"


def client_of(cast: Cast, person: str) -> APIClient:
    client = APIClient()
    client.force_authenticate(cast.people[person])
    return client


@pytest.fixture
def dan(cast: Cast) -> APIClient:
    Upload.objects.all().delete()
    return client_of(cast, "dan")


def limit(cast: Cast, most_bytes: int | None = None, most_adapters: int | None = None) -> None:
    body = {"bytes": most_bytes, "adapters": most_adapters}
    assert client_of(cast, "ada").put(QUOTAS, body, format="json").status_code == 200
    cast.support.refresh_from_db()


def post(client: APIClient, size: int, name: str = "fresh") -> Any:
    file = SimpleUploadedFile("adapter_config.json", b"x" * size)
    return client.post(ADAPTERS, {"name": name, "base_model": "smollm2", "files": file}, format="multipart")


def begin(client: APIClient, size: int) -> Any:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": "filename YQ=="}
    return client.post("/api/v1/departments/support/uploads", headers=headers)


def test_a_department_reads_its_quotas_and_their_use(cast: Cast, dan: APIClient) -> None:
    assert dan.get(QUOTAS).json() == {"bytes": {"limit": None, "used": 0}, "adapters": {"limit": None, "used": 1}}
    limit(cast, 1000, 4)
    assert begin(dan, 300).status_code == 201
    assert post(dan, 50).status_code == 202
    assert dan.get(QUOTAS).json() == {"bytes": {"limit": 1000, "used": 350}, "adapters": {"limit": 4, "used": 2}}
    event = AuditEvent.objects.get(action="department.quota")
    assert event.details["after"] == {"bytes": 1000, "adapters": 4}


def test_an_upload_over_the_quota_is_refused_as_it_begins_with_limit_use_and_advice(cast: Cast, dan: APIClient) -> None:
    limit(cast, 1000)
    assert begin(dan, 600).status_code == 201
    answer = begin(dan, 401)
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded")
    assert "may hold 1000 bytes" in answer.json()["detail"]
    assert "holds 600 bytes" in answer.json()["detail"]
    assert "401 bytes more" in answer.json()["detail"]
    assert "ask an admin" in answer.json()["detail"]
    assert begin(dan, 400).status_code == 201
    assert Upload.objects.count() == 2


def test_an_upload_in_one_request_is_refused_and_nothing_of_it_kept(cast: Cast, dan: APIClient) -> None:
    limit(cast, 1000)
    answer = post(dan, 1001)
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded")
    assert not Adapter.objects.filter(name="fresh").exists()
    assert dan.get(QUOTAS).json()["bytes"]["used"] == 0


def test_one_adapter_too_many_is_refused_but_not_another_version(cast: Cast, dan: APIClient) -> None:
    limit(cast, None, 1)
    answer = post(dan, 5)
    assert (answer.status_code, answer.json()["code"]) == (409, "quota_exceeded")
    assert "may have 1 adapters and has 1" in answer.json()["detail"]
    assert post(dan, 5, "support-bot").status_code == 202


def test_a_quota_below_what_is_held_takes_nothing_away(cast: Cast, dan: APIClient) -> None:
    assert post(dan, 500).status_code == 202
    limit(cast, 100)
    assert dan.get(QUOTAS).json()["bytes"] == {"limit": 100, "used": 500}
    assert post(dan, 1).status_code == 413


def test_archived_versions_count_and_rejected_and_deleted_ones_do_not(cast: Cast, dan: APIClient) -> None:
    versions = [
        AdapterVersion.objects.create(
            adapter=cast.adapter, number=number, state=VersionState.READY, size_bytes=100, digest=f"{number:064x}"
        )
        for number in (11, 12, 13)
    ]
    used = lambda: dan.get(QUOTAS).json()["bytes"]["used"]  # noqa: E731
    assert used() == 300
    version_archive(version=versions[0], by=None)
    assert used() == 300
    version_delete(version=versions[1], by=None)
    assert used() == 200
    AdapterVersion.objects.filter(pk=versions[2].pk).update(state=VersionState.REJECTED)
    assert used() == 100


def test_what_has_arrived_in_pieces_counts_once_when_it_becomes_a_version(cast: Cast, dan: APIClient) -> None:
    limit(cast, 10)
    url = begin(dan, 8)["Location"]
    headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
    dan.patch(url, b"12345678", content_type="application/offset+octet-stream", headers=headers)
    body = {"name": "fresh", "base_model": "smollm2", "uploads": [url.rsplit("/", 1)[1]]}
    assert dan.post(ADAPTERS, body, format="json").status_code == 202
    assert dan.get(QUOTAS).json()["bytes"]["used"] == 8


def test_an_archive_that_unpacks_beyond_the_quota_is_rejected_in_words(
    cast: Cast, dan: APIClient, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    folder = small_adapter().write(tmp_path / "adapter")
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for file in folder.iterdir():
            archive.add(file, file.name)
    unpacked = sum(file.stat().st_size for file in folder.iterdir())
    assert packed.tell() < unpacked
    limit(cast, (packed.tell() + unpacked) // 2)
    packed.seek(0)
    version = adapter_upload(
        department=cast.support, name="fresh", base_model=cast.base_model, files=[("a.tar.gz", packed)], by=None
    )
    version_take_in(version.pk)
    version.refresh_from_db()
    assert version.state == VersionState.REJECTED
    assert version.report["findings"][0]["check"] == "quota"
    assert "larger quota" in version.report["findings"][0]["advice"]


@pytest.mark.django_db(transaction=True)
async def test_a_body_that_has_no_room_is_refused_before_it_is_read(cast: Cast) -> None:
    from asgiref.sync import sync_to_async
    from knox.models import AuthToken

    cast.support.quota_bytes = 1000
    await sync_to_async(cast.support.save)()
    _, token = await sync_to_async(AuthToken.objects.create)(user=cast.people["dan"])
    read, status, body = await request(
        application,
        "POST",
        ADAPTERS,
        {"authorization": f"Bearer {token}", "content-length": str(10**9), "content-type": "multipart/form-data"},
    )
    assert (read, status) == (0, 413)
    assert b"quota_exceeded" in body
