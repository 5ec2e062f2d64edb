"""The OpenAPI document of the gateway's endpoints, kept by hand in `openapi.yaml`."""

from functools import cache
from pathlib import Path

import orjson
import yaml

PATH = "/v1/openapi.json"
_FILE = Path(__file__).with_name("openapi.yaml")


@cache
def document() -> bytes:
    """The document as JSON."""
    return orjson.dumps(yaml.safe_load(_FILE.read_text()))
