"""The whole way of an adapter with the store in a bucket: uploaded, examined, stored, fetched by a node, answered."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deadline import wait_until
from running_platform import ROOT, free_port
from running_services import Services, start_services, stop_services
from s3_server import ACCESS_KEY, SECRET_KEY, bucket_at, client, s3_server

pytestmark = pytest.mark.e2e

BUCKET = "polygraft"
VOICE = "Thanks for reaching out"


class Outages:
    """An S3 server that can be taken away and comes back at the same address with what it had."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._port = folder, free_port()
        self._running = ExitStack()
        self.endpoint = self.begin()

    def begin(self) -> str:
        return self._running.enter_context(s3_server(self._folder, self._port))

    def end(self) -> None:
        self._running.close()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Outages]:
    server = Outages(tmp_path / "s3")
    bucket_at(server.endpoint, BUCKET)
    yield server
    server.end()


@pytest.fixture
def bucket_services(s3: Outages, tmp_path: Path) -> Iterator[Services]:
    home = tmp_path / "home"
    home.mkdir()
    place = {"bucket": BUCKET, "prefix": "store", "endpoint": s3.endpoint}
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
    bucket_services: Services, s3: Outages, adapter_folder: Callable[[str], Path]
) -> None:
    services, endpoint = bucket_services, s3.endpoint
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


def test_while_the_bucket_is_away_engines_answer_and_uploads_wait_and_say_so(
    bucket_services: Services, s3: Outages, adapter_folder: Callable[[str], Path]
) -> None:
    services = bucket_services
    assert VOICE in answer(services, "support-bot")
    s3.end()
    assert services.upload("support", "patient", adapter_folder("support-bot")).status_code == 202
    waiting = wait_until(
        lambda: found if (found := services.version("support", "patient", 1))["report"].get("waits") else None,
        what="the upload says what it waits for",
    )
    assert waiting["state"] == "validating"
    assert "store of adapters is away" in waiting["report"]["waits"]
    assert VOICE in answer(services, "support-bot")
    (event,) = services.api("GET", "events?kind=store.away").json()["results"]
    assert event["is_problem"] is True
    s3.begin()
    wait_until(lambda: services.version("support", "patient", 1)["state"] == "ready", seconds=90, what="it is taken in")
    assert VOICE in answer(services, "patient")


def _import_and_ask(services: Services, name: str, source: dict[str, str]) -> None:
    body = {"name": name, "base_model": services.base_model, "source": source}
    made = services.api("POST", "departments/support/imports", json=body)
    assert made.status_code == 202, made.text
    path = f"departments/support/imports/{made.json()['id']}"
    wait_until(lambda: services.api("GET", path).json()["state"] == "done", what=f"{name} is imported")
    version = services.wait_for_state("support", name, "ready")
    assert version["source"]["kind"] == source["kind"]
    assert VOICE in answer(services, name)
