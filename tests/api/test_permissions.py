"""One table of the API's endpoints drives every test of rights: each endpoint, each person, own and foreign."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import URLPattern, get_resolver
from rest_framework.test import APIClient

from cast import Cast
from signer import MINISIGN_KEY, signing_key_of

# Who may do it in the department "support"; everybody else in it gets 403, strangers 404, visitors 401.
EVERYONE = {"ada", "audrey", "olga", "dan", "vera"}
DEVELOPERS = {"ada", "olga", "dan"}
OWNERS = {"ada", "olga"}
# Platform-wide objects: everybody else gets 403.
ANYBODY = {"ada", "audrey", "olga", "dan", "vera", "lena"}
READERS = {"ada", "audrey"}
ADMINS = {"ada"}

PEOPLE = ["ada", "audrey", "olga", "dan", "vera", "lena", "nobody"]


@dataclass
class Row:
    """An endpoint; `path` holds {placeholders} filled from the cast; `body` must be valid, so that rights decide."""

    method: str
    path: str
    allowed: set[str]
    success: int = 200
    body: dict[str, object] | None = None
    multipart: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def in_department(self) -> bool:
        return self.path.startswith("departments/{support}")


# Pieces of uploads are bytes, and speak tus.
TUS = {"Tus-Resumable": "1.0.0"}
FILE_NAME = {"Upload-Metadata": "filename YWRhcHRlcl9jb25maWcuanNvbg=="}

COMPARISON: dict[str, object] = {"candidates": ["support-bot:1", "support-bot:2"], "prompts": [{"prompt": "Hi"}]}

ROWS = [
    Row("get", "departments", ANYBODY),
    Row("post", "departments", ADMINS, 201, {"slug": "sales", "name": "Sales"}),
    Row("get", "departments/{support}", EVERYONE),
    Row("patch", "departments/{support}", OWNERS, 200, {"name": "Customer support"}),
    Row("patch", "departments/{support}", ADMINS, 200, {"limits": {"requests_per_minute": 9}, "weight": 300}),
    Row("patch", "departments/{support}", OWNERS, 200, {"fallback": "never"}),
    Row("get", "departments/{support}/members", EVERYONE),
    Row("post", "departments/{support}/members", OWNERS, 201, {"username": "lena", "role": "viewer"}),
    Row("delete", "departments/{support}/members/vera", OWNERS, 204),
    Row("get", "departments/{support}/keys", EVERYONE),
    Row("post", "departments/{support}/keys", DEVELOPERS, 201, {"name": "new"}),
    Row("get", "departments/{support}/keys/{key}", EVERYONE),
    Row("patch", "departments/{support}/keys/{key}", OWNERS, 200, {"limits": {"requests_per_minute": 9}}),
    Row("delete", "departments/{support}/keys/{key}", DEVELOPERS, 204),
    Row("post", "departments/{support}/keys/{key}/rotate", DEVELOPERS, 201, {"grace_seconds": 60}),
    Row("get", "departments/{support}/adapters", EVERYONE),
    Row("post", "departments/{support}/adapters", DEVELOPERS, 202, {"name": "a", "base_model": "smollm2"}, True),
    Row("get", "departments/{support}/sources", DEVELOPERS),
    Row("get", "departments/{support}/imports", DEVELOPERS),
    Row(
        "post",
        "departments/{support}/imports",
        DEVELOPERS,
        202,
        {"name": "a", "base_model": "smollm2", "source": {"kind": "hugging_face", "repo": "acme/bot"}},
    ),
    Row("get", "departments/{support}/imports/{import}", DEVELOPERS),
    Row("delete", "departments/{support}/imports/{import}", DEVELOPERS, 204),
    Row("get", "departments/{support}/quotas", EVERYONE),
    Row("put", "departments/{support}/quotas", ADMINS, 200, {"bytes": 9, "adapters": None}),
    Row("get", "departments/{support}/uploads", DEVELOPERS),
    Row("post", "departments/{support}/uploads", DEVELOPERS, 201, headers=TUS | FILE_NAME | {"Upload-Length": "9"}),
    Row("head", "departments/{support}/uploads/{upload}", DEVELOPERS, headers=TUS),
    Row("patch", "departments/{support}/uploads/{upload}", DEVELOPERS, 204, headers=TUS | {"Upload-Offset": "0"}),
    Row("delete", "departments/{support}/uploads/{upload}", DEVELOPERS, 204, headers=TUS),
    Row("get", "departments/{support}/adapters/support-bot", EVERYONE),
    Row("delete", "departments/{support}/adapters/support-bot", DEVELOPERS, 204),
    Row("put", "departments/{support}/adapters/support-bot/rollout", DEVELOPERS, 200, {"versions": {"2": 100}}),
    Row("get", "departments/{support}/adapters/support-bot/rollout", EVERYONE),
    Row("post", "departments/{support}/adapters/support-bot/rollout/rollback", DEVELOPERS, 200, {"reason": "Slow."}),
    Row("get", "departments/{support}/adapters/support-bot/rollout/history", EVERYONE),
    Row("get", "departments/{support}/adapters/support-bot/numbers", EVERYONE),
    Row("get", "departments/{support}/adapters/support-bot/feedback", EVERYONE),
    Row("get", "departments/{support}/adapters/support-bot/uses", EVERYONE),
    Row("get", "departments/{support}/adapters/support-bot/differences?first=1&second=2", EVERYONE),
    Row("post", "departments/{support}/adapters/support-bot/archive", DEVELOPERS),
    Row("post", "departments/{support}/adapters/support-bot/restore", DEVELOPERS),
    Row("get", "departments/{support}/adapters/support-bot/versions/2", EVERYONE),
    Row("patch", "departments/{support}/adapters/support-bot/versions/2", DEVELOPERS, 200, {"notes": "Good."}),
    Row("delete", "departments/{support}/adapters/support-bot/versions/2", DEVELOPERS, 204),
    Row("delete", "departments/{support}/adapters/support-bot/versions/1", DEVELOPERS, 409),
    Row("post", "departments/{support}/adapters/support-bot/versions/2/archive", DEVELOPERS),
    Row("post", "departments/{support}/adapters/support-bot/versions/2/restore", DEVELOPERS, 409),
    Row("get", "departments/{support}/adapters/support-bot/shares", EVERYONE),
    Row("post", "departments/{support}/adapters/support-bot/shares", OWNERS, 201, {"department": "legal"}),
    Row("delete", "departments/{support}/adapters/support-bot/shares/sales", OWNERS, 204),
    Row("get", "departments/{support}/shared", EVERYONE),
    Row("delete", "departments/{support}/shared/legal/clauses", OWNERS, 204),
    Row("get", "departments/{support}/adapters/support-bot/comparisons", EVERYONE),
    Row("post", "departments/{support}/adapters/support-bot/comparisons", DEVELOPERS, 202, COMPARISON),
    Row("get", "departments/{support}/adapters/support-bot/comparisons/{comparison}", EVERYONE),
    Row("delete", "departments/{support}/adapters/support-bot/comparisons/{comparison}", DEVELOPERS, 204),
    Row("post", "departments/{support}/adapters/support-bot/comparisons/{comparison}/cancel", DEVELOPERS, 204),
    Row("post", "departments/{support}/adapters/support-bot/comparisons/{comparison}/run-again", DEVELOPERS, 409),
    Row("get", "departments/{support}/adapters/support-bot/comparisons/{comparison}/results", EVERYONE),
    Row("get", "departments/{support}/comparison-policy", EVERYONE),
    Row("put", "departments/{support}/comparison-policy", OWNERS, 200, {"required": True}),
    Row("get", "departments/{support}/retention?keep_newest=1", EVERYONE),
    Row("put", "departments/{support}/retention", OWNERS, 200, {"keep_newest": 3}),
    Row("delete", "departments/{support}/retention", OWNERS, 204),
    Row("get", "departments/{support}/signing-keys", EVERYONE),
    Row("post", "departments/{support}/signing-keys", OWNERS, 201, {"name": "ci", "public_key": MINISIGN_KEY}),
    Row("delete", "departments/{support}/signing-keys/{signing_key}", OWNERS, 204),
    Row("get", "retention", READERS),
    Row("put", "retention", ADMINS, 200, {"keep_used_days": 30}),
    Row("get", "usage?department={support}", EVERYONE),
    Row("get", "usage", ANYBODY),
    Row("get", "limits", READERS),
    Row("put", "limits", ADMINS, 200, {"requests_per_minute": 9}),
    Row("get", "audit", ANYBODY),
    Row("get", "base-models", ANYBODY),
    Row("post", "base-models", ADMINS, 201, {"name": "other", "gguf_path": "{gguf}"}),
    Row("get", "base-models/smollm2", ANYBODY),
    Row("patch", "base-models/smollm2", ADMINS, 200, {"prices": {"prompt": "0.15", "completion": "0.6"}}),
    Row("get", "deployments", READERS),
    Row("post", "deployments", ADMINS, 201, {"base_model": "smollm2", "engine_kind": "llamacpp"}),
    Row("get", "deployments/{deployment}", READERS),
    Row("patch", "deployments/{deployment}", ADMINS, 200, {"replicas": 2}),
    Row("delete", "deployments/{deployment}", ADMINS, 204),
    Row("post", "plan", READERS, 200, {"base_model": "smollm2", "context": 2048}),
    Row("get", "departments/{support}/placement", EVERYONE),
    Row("put", "departments/{support}/placement", ADMINS, 200, {"placement": "standard"}),
    Row("get", "departments/{support}/adapters/support-bot/placement", EVERYONE),
    Row("put", "departments/{support}/adapters/support-bot/placement", ADMINS, 200, {"placement": "auto"}),
    Row("get", "deployments/{deployment}/residency", READERS),
    Row("put", "deployments/{deployment}/residency", ADMINS, 200, {"residency": "on_demand", "adapter_slots": 8}),
    Row("post", "deployments/{deployment}/start-again", ADMINS, 204),
    Row("get", "engines", READERS),
    Row("get", "engines/{engine}", READERS),
    Row("get", "engines/{engine}/log", READERS),
    Row("get", "nodes", READERS),
    Row("get", "nodes/node-1", READERS),
    Row("get", "events", READERS),
]


def cases() -> Iterator[object]:
    for row in ROWS:
        for person in PEOPLE:
            yield pytest.param(row, person, id=f"{row.method} {row.path} as {person}")


def expected_status(row: Row, person: str) -> int:
    if person == "nobody":
        return 401
    if person in row.allowed:
        return row.success
    # A department that a stranger may not know of is not there.
    return 404 if person == "lena" and "{support}" in row.path else 403


def call(row: Row, person: str, cast: Cast) -> int:
    names = {
        "support": cast.support.slug,
        "key": cast.key.pk,
        "deployment": cast.deployment.pk,
        "signing_key": signing_key_of(cast) if "{signing_key}" in row.path else 0,
        "engine": cast.engine.pk,
        "gguf": cast.base_model.gguf_path,
        "upload": cast.upload.pk,
        "import": cast.wish.pk,
        "comparison": cast.comparison.pk,
    }
    client = APIClient()
    user = cast.people[person]
    if user is not None:
        client.force_authenticate(user)
    body = {k: v.format(**names) if isinstance(v, str) else v for k, v in (row.body or {}).items()}
    if row.multipart:
        body["files"] = SimpleUploadedFile("adapter_config.json", b"{}")
    path = "/api/v1/" + row.path.format(**names)
    if row.method == "get":
        return client.get(path).status_code
    send = getattr(client, row.method)
    if row.headers:
        return int(send(path, b"", content_type="application/offset+octet-stream", headers=row.headers).status_code)
    return int(send(path, body, format="multipart" if row.multipart else "json").status_code)


@pytest.mark.parametrize(("row", "person"), list(cases()))
def test_an_endpoint_lets_in_whom_the_table_says(row: Row, person: str, cast: Cast) -> None:
    assert call(row, person, cast) == expected_status(row, person)


def test_the_table_has_every_endpoint_of_the_management_api() -> None:
    listed = {(row.method, row.path.split("?")[0]) for row in ROWS}
    in_table = {
        (
            method,
            path.replace("support-bot", "<str:name>")
            .replace("members/vera", "members/<str:username>")
            .replace("smollm2", "<str:name>"),
        )
        for method, path in listed
    }
    in_table = {(method, _as_route(path)) for method, path in in_table}
    assert set(endpoints()) == in_table


def _as_route(path: str) -> str:
    """A path of the table as the URL configuration writes it."""
    for part, route in {
        "{support}": "<str:slug>",
        "{key}": "<int:pk>",
        "{deployment}": "<int:pk>",
        "{signing_key}": "<int:pk>",
        "{engine}": "<uuid:pk>",
        "{upload}": "<uuid:pk>",
        "{comparison}": "<uuid:pk>",
        "{import}": "<uuid:pk>",
        "nodes/node-1": "nodes/<str:name>",
        "shares/sales": "shares/<str:receiver>",
        "shared/legal/clauses": "shared/<str:owner>/<str:name>",
        "versions/1": "versions/<int:number>",
        "versions/2": "versions/<int:number>",
    }.items():
        path = path.replace(part, route)
    return path


def endpoints() -> Iterator[tuple[str, str]]:
    for resolver in get_resolver().url_patterns:
        if str(resolver.pattern) != "api/v1/":
            continue
        for pattern in resolver.url_patterns:
            assert isinstance(pattern, URLPattern)
            view = pattern.callback.view_class  # type: ignore[attr-defined]
            for method in ("get", "head", "post", "put", "patch", "delete"):
                if hasattr(view, method):
                    yield method, str(pattern.pattern)


def test_an_auditor_reads_everything_and_changes_nothing() -> None:
    # A plan is only reckoned: asking for one writes nothing.
    assert {row.method for row in ROWS if "audrey" in row.allowed and row.path != "plan"} == {"get"}


def test_a_stranger_cannot_tell_a_foreign_department_from_none(cast: Cast) -> None:
    client = APIClient()
    client.force_authenticate(cast.people["lena"])
    foreign = client.get("/api/v1/departments/support").json()
    missing = client.get("/api/v1/departments/nowhere").json()
    assert foreign == missing
