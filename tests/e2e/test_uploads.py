"""An upload whose connection is cut goes on where it stopped, on the real server."""

import base64
import hashlib
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from adapter_factory import MODULES, small_adapter
from deadline import wait_until
from running_platform import Platform

pytestmark = pytest.mark.e2e

TUS = {"Tus-Resumable": "1.0.0"}


def send_and_cut(platform: Platform, url: str, content: bytes, offset: int, after: int) -> None:
    """Send the rest of a file from `offset` in one request, and break the connection after so many bytes."""
    place = urlsplit(platform.url)
    head = (
        f"PATCH {url} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {platform.demo['admin_token']}\r\n"
        f"Tus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n"
        f"Content-Length: {len(content) - offset}\r\n\r\n"
    )
    with socket.create_connection((place.hostname or "", place.port or 0)) as connection:
        connection.sendall(head.encode() + content[offset : offset + after])


def test_an_upload_goes_on_after_its_connection_was_cut(platform: Platform, tmp_path: Path) -> None:
    def call(method: str, url: str, **options: Any) -> httpx.Response:
        return platform.api(method, url.removeprefix("/api/v1/"), **options)

    ids = []
    folder = small_adapter(rank=32, modules=tuple(MODULES), dtype="F32").write(tmp_path / "adapter")
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        name = base64.b64encode(file.name.encode()).decode()
        about = {"Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
        url = call("POST", "departments/support/uploads", headers=TUS | about).headers["Location"]

        def offset(url: str = url) -> int:
            return int(call("HEAD", url, headers=TUS).headers["Upload-Offset"])

        for _ in range(3):
            begun = offset()
            if len(content) - begun < 3_000_000:
                break
            send_and_cut(platform, url, content, begun, 3_000_000)
            wait_until(lambda begun=begun: offset() == begun + 3_000_000, what="what came is kept")
        begun = offset()
        rest = TUS | {"Upload-Offset": str(begun), "Content-Type": "application/offset+octet-stream"}
        assert call("PATCH", url, headers=rest, content=content[begun:]).status_code == 204
        ids.append(url.rpartition("/")[2])
    wish = {"name": "in-pieces", "base_model": platform.base_model, "uploads": ids}
    assert call("POST", "departments/support/adapters", json=wish).status_code == 202
    version = platform.wait_for_state("support", "in-pieces", "ready")
    for file in folder.iterdir():
        assert version["report"]["facts"]["files"][file.name] == hashlib.sha256(file.read_bytes()).hexdigest()
