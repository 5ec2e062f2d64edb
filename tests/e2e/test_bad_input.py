"""What people send by mistake or on purpose: clear errors, and an engine that goes on answering."""

import io
import json
import socket
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from plain_http import NO_CERTIFICATES
from running_platform import Platform

pytestmark = pytest.mark.e2e


@pytest.fixture
def post(platform: Platform) -> Callable[..., httpx.Response]:
    def call(body: bytes | dict[str, Any]) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(
            f"{platform.url}/v1/chat/completions",
            content=content,
            headers={"Authorization": f"Bearer {platform.key('support')}", "Content-Type": "application/json"},
            timeout=60,
            verify=NO_CERTIFICATES,
        )

    return call


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"hi"', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(post: Callable[..., httpx.Response], body: bytes) -> None:
    answer = post(body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_body_over_the_limit_is_refused(post: Callable[..., httpx.Response]) -> None:
    answer = post(b'{"model": "' + b"a" * (11 * 1024 * 1024) + b'"}')
    assert answer.status_code == 413
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "extra",
    [
        {"messages": "hello"},
        {"messages": []},
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": -1},
        {"messages": [{"role": "user", "content": "hi"}], "temperature": "hot"},
        {"messages": [{"role": "user", "content": "word " * 20_000}]},
    ],
)
def test_a_wrong_parameter_is_a_400_in_openais_shape(
    post: Callable[..., httpx.Response], extra: dict[str, Any]
) -> None:
    answer = post({"model": "support-bot", **extra})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "lora-" not in answer.text


def test_a_rejected_upload_says_which_tensor_and_what_to_do(
    platform: Platform, adapter_folder: Callable[[str], Path]
) -> None:
    folder = adapter_folder("support-bot")
    config = json.loads((folder / "adapter_config.json").read_text())
    config["r"] = 8
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert platform.upload("support", "wrong-rank", folder).status_code == 202
    version = platform.wait_for_state("support", "wrong-rank", "rejected")
    finding = version["report"]["findings"][0]
    assert "lora_" in finding["tensor"]
    assert finding["expected"]
    assert finding["found"]
    assert finding["advice"]


def test_a_pickle_in_disguise_is_rejected(platform: Platform, adapter_folder: Callable[[str], Path]) -> None:
    folder = adapter_folder("support-bot")
    (folder / "adapter_model.safetensors").write_bytes(b"\x80\x04\x95" + b"\0" * 100)
    platform.upload("support", "pickled", folder)
    version = platform.wait_for_state("support", "pickled", "rejected")
    assert version["report"]["findings"]


def test_a_zip_that_climbs_out_of_its_folder_is_rejected(platform: Platform, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../../../tmp/polygraft-escaped", "x")
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / "adapter.zip").write_bytes(archive.getvalue())
    platform.upload("support", "climber", tmp_path / "upload")
    platform.wait_for_state("support", "climber", "rejected")
    assert not Path("/tmp/polygraft-escaped").exists()  # noqa: S108  # where it would have gone


def test_an_upload_without_files_is_refused_at_once(platform: Platform) -> None:
    answer = platform.api(
        "POST",
        "departments/support/adapters",
        files={"name": (None, "empty"), "base_model": (None, platform.base_model)},
    )
    assert answer.status_code == 400
    assert "files" in answer.json()["errors"]


def test_two_uploads_of_one_name_at_once_become_two_versions(
    platform: Platform, adapter_folder: Callable[[str], Path]
) -> None:
    folder = adapter_folder("support-bot")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: platform.upload("support", "twice", folder), range(2)))
    numbers = {answer.json()["version"] for answer in answers}
    assert numbers == {1, 2}
    for number in numbers:
        platform.wait_for_state("support", "twice", "ready", number)


def test_an_upload_over_the_limit_is_refused_before_it_is_sent(platform: Platform) -> None:
    host, port = platform.url.removeprefix("http://").split(":")
    head = (
        "POST /api/v1/departments/support/adapters HTTP/1.1\r\n"
        f"Host: {host}:{port}\r\nAuthorization: Bearer {platform.demo['admin_token']}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {5 * 1024**3}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer
