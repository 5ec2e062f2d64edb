"""What the tests of the intake share: the demo base model's spec, and the usual limits."""

import pytest

from adapter_factory import SMOLLM2_GGUF
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.reading.limits import Limits


@pytest.fixture(scope="session")
def base() -> BaseSpec:
    return BaseSpec.from_gguf(SMOLLM2_GGUF)


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits()
