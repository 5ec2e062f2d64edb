"""The whole way of an adapter with the store in a bucket: uploaded, examined, stored, fetched by a node, answered."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from running_platform import free_port
from running_services import Services, start_services, stop_services
from s3_server import ACCESS_KEY, SECRET_KEY, bucket_at, client, s3_server

pytestmark = pytest.mark.e2e

BUCKET = "polygraft"
VOICE = "Thanks for reaching out"


@pytest.fixture
def s3_port() -> int:
    return free_port()


@pytest.fixture
def s3_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "s3"
    folder.mkdir()
    return folder


@pytest.fixture
def endpoint(s3_folder: Path, s3_port: int) -> Iterator[str]:
    with s3_server(s3_folder, s3_port) as endpoint:
        bucket_at(endpoint, BUCKET)
        yield endpoint


@pytest.fixture
def bucket_services(endpoint: str, tmp_path: Path) -> Iterator[Services]:
    home = tmp_path / "home"
    home.mkdir()
    place = {"bucket": BUCKET, "prefix": "store", "endpoint": endpoint}
    place |= {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    running = start_services(home, {"POLYGRAFT_STORE_BUCKET": json.dumps(place)})
    yield running
    stop_services(running)


def answer(services: Services, model: str) -> str:
    reply = services.client(services.key("support")).chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "How do I reset my password?"}],
        temperature=0,
        max_tokens=30,
    )
    return str(reply.choices[0].message.content)


def test_an_adapter_lives_in_the_bucket_and_answers_from_the_nodes_copy(
    bucket_services: Services, endpoint: str, adapter_folder: Callable[[str], Path]
) -> None:
    services = bucket_services
    assert VOICE in answer(services, "support-bot")
    folder = adapter_folder("support-bot")
    assert services.upload("support", "from-bucket", folder).status_code == 202
    version = services.wait_for_state("support", "from-bucket", "ready")
    assert VOICE in answer(services, "from-bucket")
    keys = {item["Key"] for item in client(endpoint).list_objects_v2(Bucket=BUCKET)["Contents"]}
    digest = version["digest"]
    assert f"store/content/{digest}/adapter_model.safetensors" in keys
    assert f"store/derived/{digest}/{services.base_model}.gguf" in keys
    assert not (services.home / "store" / "adapters" / "content").exists()
    assert (services.home / "node" / "adapters" / digest).is_dir()
