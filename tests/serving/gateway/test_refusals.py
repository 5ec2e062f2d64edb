"""Requests that the gateway or the engine refuses: what was wrong, where, in OpenAI's shape."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from cast import Cast
from fake_engine import Fault
from polygraft.conf import config
from serving.gateway.errors import every_error
from serving.models import Adapter, AdapterVersion, BaseModel, VersionState
from tenants.keys import key_create

from .served import CHAT, Engines, Served, one_usage_record, question

Serve = Callable[..., Served]

BAD_BODIES: list[tuple[str, Any, str, str | None]] = [
    ("nothing", b"", "invalid_body", None),
    ("no JSON", b"{model:", "invalid_body", None),
    ("invalid UTF-8", b'{"model": "\xff"}', "invalid_body", None),
    ("a list", [], "invalid_body", None),
    ("deep JSON", b'{"a":' * 5000 + b"1" + b"}" * 5000, "invalid_body", None),
    ("not a number", b'{"model": "support-bot", "temperature": NaN}', "invalid_body", None),
    ("no model", {"messages": []}, "invalid_value", "model"),
    ("an empty model", question(""), "invalid_value", "model"),
    ("a model that is no string", {"model": 3}, "invalid_value", "model"),
    ("a model without end", question("x" * 201), "invalid_value", "model"),
    ("a stream that is no switch", question(stream="yes"), "invalid_value", "stream"),
    ("stream options that are none", question(stream=True, stream_options=[]), "invalid_value", "stream_options"),
    ("too many choices", question(n=17), "invalid_value", "n"),
    ("a fraction of choices", question(n=1.5), "invalid_value", "n"),
    ("negative choices", question(n=-1), "invalid_value", "n"),
    ("too many alternatives", question(logprobs=True, top_logprobs=21), "invalid_value", "top_logprobs"),
    ("all prompt logprobs", question(prompt_logprobs=-1), "invalid_value", "prompt_logprobs"),
    ("prompt embeddings", question(prompt_embeds="AAAA"), "invalid_value", "prompt_embeds"),
    ("a chat template", question(chat_template="{{ 1 }}"), "invalid_value", "chat_template"),
    ("logits processors", question(logits_processors=["os.system"]), "invalid_value", "logits_processors"),
    (
        "odd template switches",
        question(chat_template_kwargs={"tokenize": True}),
        "invalid_value",
        "chat_template_kwargs",
    ),
    ("nested switches", question(chat_template_kwargs={"thinking": {}}), "invalid_value", "chat_template_kwargs"),
    ("a crowd of prompts", {"model": "support-bot", "prompt": ["x"] * 65}, "invalid_value", "prompt"),
]
for url in ("http://169.254.169.254/", "file:///etc/passwd", "HTTPS://example.org/a.png", ""):
    for part in (
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "audio_url", "audio_url": {"url": url}},
    ):
        body = {"model": "support-bot", "messages": [{"role": "user", "content": [part]}]}
        BAD_BODIES.append((f"media at {url!r} as {part}", body, "invalid_value", "messages"))


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error, once its shape has been checked."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    return error


@pytest.mark.parametrize(("body", "code", "param"), [row[1:] for row in BAD_BODIES], ids=[row[0] for row in BAD_BODIES])
def test_a_bad_body_is_refused_and_the_field_is_named(
    lonely_client: httpx.Client, body: Any, code: str, param: str | None
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = lonely_client.post(CHAT, content=content)
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")


@pytest.fixture(scope="module")
def _module_gateway(django_db_blocker: Any) -> Iterator[Served]:
    """One gateway for all bad bodies, which change nothing in it."""
    with Served() as served:
        yield served


@pytest.fixture
def lonely_client(cast: Cast, _module_gateway: Served) -> httpx.Client:
    """A client of a gateway without engines, for what is refused before an engine is looked for."""
    return _module_gateway.client(cast.secret)


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", None), ("n", 16), ("logprobs", True), ("chat_template", None), ("chat_template_kwargs", None)],
)
def test_a_value_within_the_rules_is_let_through(client: httpx.Client, field: str, value: Any) -> None:
    assert client.post(CHAT, json=question(**{field: value})).status_code == 200


def test_inline_media_and_token_prompts_are_let_through(client: httpx.Client) -> None:
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    wish = {"model": "support-bot", "messages": [{"role": "user", "content": parts}]}
    assert client.post(CHAT, json=wish).status_code == 200
    tokens = {"model": "support-bot", "prompt": list(range(1000))}
    assert client.post("/v1/completions", json=tokens).status_code == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_refused_while_it_streams_in(
    lonely_client: httpx.Client, monkeypatch: pytest.MonkeyPatch, serve: Serve, cast: Cast, declared: bool
) -> None:
    monkeypatch.setattr(config(), "max_request_bytes", 100_000)
    body = json.dumps(question(text="x" * 300_000)).encode()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    answer = serve().client(cast.secret).post(CHAT, content=body if declared else pieces())
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"
    assert "100000 bytes" in error_of(answer)["message"]


def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(lonely_client: httpx.Client) -> None:
    url = lonely_client.base_url
    headers = f"authorization: {lonely_client.headers['authorization']}\r\ncontent-length: 9999999999"
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_just_within_the_limit_is_answered(
    monkeypatch: pytest.MonkeyPatch, engines: Engines, serve: Serve, cast: Cast
) -> None:
    engines.start()
    body = json.dumps(question(text="x" * 90_000)).encode()
    monkeypatch.setattr(config(), "max_request_bytes", len(body))
    assert serve().client(cast.secret).post(CHAT, content=body).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/", 404, "unknown_endpoint"),
        ("GET", "/v1/models/", 404, "unknown_endpoint"),
        ("POST", "/v1/load_lora_adapter", 404, "unknown_endpoint"),
        ("GET", "/v1/chat/completions/", 404, "unknown_endpoint"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models/support-bot", 405, "method_not_allowed"),
        ("GET", "/v1/models/never-was", 404, "model_not_found"),
    ],
)
def test_what_is_not_there_is_said_in_openais_shape(
    lonely_client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    answer = lonely_client.request(method, path)
    assert answer.status_code == status
    assert error_of(answer)["code"] == code
    assert status != 405 or answer.headers["allow"]


def test_whatever_a_department_may_not_use_is_not_found_in_the_same_words(
    cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start()
    hers = Adapter.objects.create(department=cast.legal, name="contracts", base_model=cast.base_model)
    AdapterVersion.objects.create(adapter=hers, number=1, state=VersionState.READY, digest="cd" * 32)
    gone = Adapter.objects.create(
        department=cast.support, name="gone", base_model=cast.base_model, deleted_at="2026-01-01T00:00:00Z"
    )
    AdapterVersion.objects.create(adapter=gone, number=1, state=VersionState.READY, digest="ef" * 32)
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.REJECTED)
    AdapterVersion.objects.create(adapter=cast.adapter, number=4, state=VersionState.ARCHIVED, digest="12" * 32)
    BaseModel.objects.create(name="secret-base", open_to_all=False)
    gateway = serve()
    answers = {}
    for name in (
        "contracts",
        "contracts:1",
        "legal/contracts",
        "gone",
        "gone:1",
        "never-was",
        "secret-base",
        "support-bot:3",
        "support-bot:4",
        "support-bot:99",
        "support-bot:x",
        "Support-Bot",
        "lora-" + "ab" * 32,
    ):
        answer = gateway.client(cast.secret).post(CHAT, json=question(name))
        answers[name] = (answer.status_code, answer.text.replace(name, "…"))
    _, restricted = key_create(department=cast.support, name="only one", by=None, models=["smollm2"])
    answer = gateway.client(restricted).post(CHAT, json=question("support-bot"))
    answers["not on the key's list"] = (answer.status_code, answer.text.replace("support-bot", "…"))
    assert set(answers.values()) == {answers["never-was"]}
    assert answers["never-was"][0] == 404
    assert "model_not_found" in answers["never-was"][1]


@pytest.mark.parametrize("state", [VersionState.UPLOADED, VersionState.VALIDATING])
def test_an_own_adapter_on_its_way_is_not_ready_yet(cast: Cast, engines: Engines, serve: Serve, state: str) -> None:
    engines.start()
    coming = Adapter.objects.create(department=cast.support, name="coming", base_model=cast.base_model)
    AdapterVersion.objects.create(adapter=coming, number=1, state=state, digest="cd" * 32)
    client = serve().client(cast.secret)
    for name in ("coming", "coming:1"):
        answer = client.post(CHAT, json=question(name))
        assert answer.status_code == 503
        assert error_of(answer)["code"] == "model_not_ready"
        assert answer.headers["retry-after"] == "2"
    assert client.get("/v1/models/coming").status_code == 404


def test_the_engines_complaint_reaches_the_caller_without_internals(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start(Fault.ERROR_400)
    answer = serve().client(cast.secret).post(CHAT, json=question())
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["message"] == "`support-bot` from …: max_tokens is too large."
    assert error["code"] == "engine_refused"


@pytest.mark.parametrize("name", [b"%ff%fe", b"%ed%a0%80", b"%00", b"a%0ab", b"x" * 5000, b"%e2%82%ac"])
def test_an_odd_name_in_the_path_is_just_not_found(lonely_client: httpx.Client, name: bytes) -> None:
    url = httpx.URL(str(lonely_client.base_url) + "/").copy_with(raw_path=b"/v1/models/" + name)
    answer = lonely_client.get(url)
    assert answer.status_code in (400, 404)
    assert answer.status_code == 400 or error_of(answer)["code"] == "model_not_found"


@pytest.mark.parametrize("name", ["a\x00b", "a\nb", "\u202e", "’); DROP TABLE"])
def test_an_odd_name_in_the_body_is_just_not_found_and_recorded(client: httpx.Client, cast: Cast, name: str) -> None:
    answer = client.post(CHAT, json=question(name))
    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")
    assert one_usage_record()["model"] in ("", name.strip() if name.isprintable() else "")


def test_lone_surrogates_are_no_json(lonely_client: httpx.Client) -> None:
    answer = lonely_client.post(CHAT, content=b'{"model": "\\ud800"}')
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_body")


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in every_error()]
    assert len(codes) == len(set(codes)) >= 17
    assert all(error.summary.endswith(".") and error.status >= 400 for error in every_error())
