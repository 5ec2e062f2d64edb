"""The OpenAPI document is valid, complete and true."""

from collections.abc import Callable
from typing import Any

import httpx
import jsonschema
import orjson
import pytest
from drf_spectacular.validation import validate_schema

from cast import Cast
from serving.gateway.app import ENDPOINTS
from serving.gateway.document import PATH, document

from .served import Engines, Served, question

Serve = Callable[..., Served]

ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", question()),
    ("/v1/completions", {"model": "support-bot", "prompt": "once"}),
    ("/v1/responses", {"model": "support-bot", "input": "hello"}),
    ("/v1/messages", {**question(), "max_tokens": 9}),
    ("/v1/messages/count_tokens", question()),
    ("/v1/embeddings", {"model": "support-bot", "input": "hello"}),
    ("/v1/score", {"model": "support-bot", "text_1": "a", "text_2": "b"}),
    ("/tokenize", {"model": "support-bot", "prompt": "hello"}),
]


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return orjson.loads(document())


def check(described: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": described["components"]}).validate(value)


def schema_of(described: dict[str, Any], path: str, method: str = "post", status: str = "200") -> dict[str, Any]:
    response = described["paths"][path][method]["responses"][status]
    if "$ref" in response:
        response = described["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return response["content"]["application/json"]["schema"]


def test_it_is_valid(described: dict[str, Any]) -> None:
    validate_schema(described)


def test_it_describes_every_endpoint_and_no_other(described: dict[str, Any]) -> None:
    methods = {path: [method.upper() for method in operations] for path, operations in described["paths"].items()}
    assert methods == {path: [endpoint.method] for path, endpoint in ENDPOINTS.items()}


def test_it_is_served_to_everybody_by_get_only(cast: Cast, serve: Serve, described: dict[str, Any]) -> None:
    client = serve().client(None)
    assert client.get(PATH).json() == described
    assert client.post(PATH).status_code == 405


@pytest.mark.parametrize("kind", ["llamacpp", "vllm"])
def test_answers_and_refusals_are_as_described(
    cast: Cast, engines: Engines, serve: Serve, described: dict[str, Any], kind: str
) -> None:
    engines.start(kind=kind)
    client: httpx.Client = serve().client(cast.secret)
    for path, body in ASKED:
        check(described, described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"], body)
        answer = client.post(path, json=body)
        if answer.status_code == 200:
            check(described, schema_of(described, path), answer.json())
        else:
            assert (kind, path) == ("llamacpp", "/v1/score")
        refusal = client.post(path, json={**body, "model": "nobodys"})
        assert refusal.status_code == 404
        check(described, schema_of(described, path, status="default"), refusal.json())
    check(described, schema_of(described, "/v1/models", "get"), client.get("/v1/models").json())
    check(described, schema_of(described, "/v1/models/{id}", "get"), client.get("/v1/models/support-bot").json())
