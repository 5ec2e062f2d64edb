"""What the tests of the intake share: the demo base model's spec, the usual limits, and a bucket of a real S3."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_factory import SMOLLM2_GGUF
from polygraft.places import Bucket
from s3_server import bucket_at, s3_server
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.reading.limits import Limits


@pytest.fixture(scope="session")
def base() -> BaseSpec:
    return BaseSpec.from_gguf(SMOLLM2_GGUF)


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s3")
    with s3_server(folder) as endpoint:
        yield endpoint


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path) -> Bucket:
    return bucket_at(endpoint, "b-" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20])
