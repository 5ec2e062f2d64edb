"""The whole way of an adapter with the store in a bucket: uploaded, examined, stored, fetched by a node, answered."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deadline import wait_until
from running_platform import ROOT, free_port
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
    training = place | {"prefix": "training", "departments": ["support"]}
    running = start_services(
        home,
        {
            "POLYGRAFT_STORE_BUCKET": json.dumps(place),
            "POLYGRAFT_ADAPTER_BUCKETS": json.dumps({"lake": training}),
            "POLYGRAFT_ADAPTER_FOLDERS": json.dumps({"demo": {"path": str(ROOT / "demo" / "adapters")}}),
        },
    )
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
    _import_and_ask(services, "from-folder", {"kind": "folder", "name": "demo", "path": "support-bot"})
    for file in folder.iterdir():
        client(endpoint).put_object(Bucket=BUCKET, Key=f"training/run-7/{file.name}", Body=file.read_bytes())
    _import_and_ask(services, "from-lake", {"kind": "bucket", "name": "lake", "path": "run-7"})
    assert (services.home / "node" / "adapters" / digest).is_dir()


def _import_and_ask(services: Services, name: str, source: dict[str, str]) -> None:
    body = {"name": name, "base_model": services.base_model, "source": source}
    made = services.api("POST", "departments/support/imports", json=body)
    assert made.status_code == 202, made.text
    path = f"departments/support/imports/{made.json()['id']}"
    wait_until(lambda: services.api("GET", path).json()["state"] == "done", what=f"{name} is imported")
    version = services.wait_for_state("support", name, "ready")
    assert version["source"]["kind"] == source["kind"]
    assert VOICE in answer(services, name)
