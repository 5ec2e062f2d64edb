"""One table of the console's pages drives every test of rights: each page, each person, own and foreign."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, reverse

from cast import Cast
from serving.console import urls as serving_urls
from signer import MINISIGN_KEY, signing_key_of
from tenants.console import urls as tenants_urls

# Who may do it in the department "support"; everybody else in it gets 403, strangers 404.
EVERYONE = {"ada", "audrey", "olga", "dan", "vera"}
TRIERS = {"ada", "olga", "dan", "vera"}
DEVELOPERS = {"ada", "olga", "dan"}
OWNERS = {"ada", "olga"}
# Platform-wide pages: everybody else gets 403.
ANYBODY = {"ada", "audrey", "olga", "dan", "vera", "lena"}
READERS = {"ada", "audrey"}
ADMINS = {"ada"}

PEOPLE = ["ada", "audrey", "olga", "dan", "vera", "lena"]


@dataclass
class Row:
    """A page; `parts` holds names of ids that are filled in from the cast; `body` posts to it, and must be valid."""

    name: str
    allowed: set[str]
    parts: list[str] = field(default_factory=list)
    body: dict[str, object] | None = None

    @property
    def in_department(self) -> bool:
        return "support" in self.parts

    def __str__(self) -> str:
        return f"{'get' if self.body is None else 'post'} {self.name}"


WISHES: dict[str, object] = {
    "replicas": 1,
    "min_replicas": 1,
    "concurrency": 4,
    "residency": "eager",
    "adapter_slots": 32,
}
PLAN: dict[str, object] = {
    "base_model": "smollm2",
    "context": 2048,
    "concurrency": 2,
    "adapters": 2,
    "active": 1,
    "rank": 8,
    "kv_bits": 16,
}

COMPARISON: dict[str, object] = {
    "candidates": ["support-bot:1", "support-bot:2"],
    "prompts": '{"prompt": "Hi"}',
    "temperature": 0,
    "max_tokens": 16,
}

ROWS = [
    Row("overview", ANYBODY),
    Row("department-list", ANYBODY),
    Row("department-new", ADMINS),
    Row("department-new", ADMINS, body={"name": "Sales", "slug": "sales"}),
    Row("department", EVERYONE, ["support"]),
    Row("department-name", OWNERS, ["support"]),
    Row("department-name", OWNERS, ["support"], {"name": "Customer support"}),
    Row("department-fallback", OWNERS, ["support"]),
    Row("department-fallback", OWNERS, ["support"], {"fallback": "never"}),
    Row("key-list", EVERYONE, ["support"]),
    Row("key-new", DEVELOPERS, ["support"]),
    Row("key-new", DEVELOPERS, ["support"], {"name": "ci"}),
    Row("key-rotate", DEVELOPERS, ["support", "key"]),
    Row("key-rotate", DEVELOPERS, ["support", "key"], {"grace_seconds": 3600}),
    Row("key-revoke", DEVELOPERS, ["support", "key"]),
    Row("key-revoke", DEVELOPERS, ["support", "key"], {}),
    Row("member-list", EVERYONE, ["support"]),
    Row("member-new", OWNERS, ["support"]),
    Row("member-new", OWNERS, ["support"], {"username": "lena", "role": "viewer"}),
    Row("member-role", OWNERS, ["support", "membership"]),
    Row("member-role", OWNERS, ["support", "membership"], {"role": "developer"}),
    Row("member-remove", OWNERS, ["support", "membership"]),
    Row("member-remove", OWNERS, ["support", "membership"], {}),
    Row("usage", EVERYONE, ["support"]),
    Row("department-limits", EVERYONE, ["support"]),
    Row("department-limits-change", ADMINS, ["support"]),
    Row("department-limits-change", ADMINS, ["support"], {"requests_per_minute": 9}),
    Row("department-weight", ADMINS, ["support"]),
    Row("department-weight", ADMINS, ["support"], {"weight": 300}),
    Row("key-limits-change", OWNERS, ["support", "key"]),
    Row("key-limits-change", OWNERS, ["support", "key"], {"requests_per_minute": 9}),
    Row("department-quotas", ADMINS, ["support"]),
    Row("department-quotas", ADMINS, ["support"], {"gigabytes": "1.5", "adapters": 4}),
    Row("platform-limits", READERS),
    Row("platform-limits-change", ADMINS),
    Row("platform-limits-change", ADMINS, body={"requests_per_minute": 9}),
    Row("adapter-imports", DEVELOPERS, ["support"]),
    Row(
        "adapter-imports",
        DEVELOPERS,
        ["support"],
        {"source": "hugging_face:", "repo": "acme/bot", "name": "new-bot", "base_model": "smollm2"},
    ),
    Row("adapter-import-cancel", DEVELOPERS, ["support", "import"]),
    Row("adapter-import-cancel", DEVELOPERS, ["support", "import"], {}),
    Row("adapter-upload", DEVELOPERS, ["support"]),
    Row("adapter-upload", DEVELOPERS, ["support"], {"name": "new-bot", "base_model": "smollm2"}),
    Row("adapter", EVERYONE, ["support", "support-bot"]),
    Row("adapter-rollout", DEVELOPERS, ["support", "support-bot", "2"]),
    Row("adapter-rollout", DEVELOPERS, ["support", "support-bot", "2"], {}),
    Row("rollout-rollback", DEVELOPERS, ["support", "support-bot"]),
    Row("rollout-rollback", DEVELOPERS, ["support", "support-bot"], {}),
    Row("rollout-history", EVERYONE, ["support", "support-bot"]),
    Row("adapter-numbers", EVERYONE, ["support", "support-bot"]),
    Row("feedback-list", EVERYONE, ["support", "support-bot"]),
    Row("adapter-delete", DEVELOPERS, ["support", "support-bot"]),
    Row("adapter-delete", DEVELOPERS, ["support", "support-bot"], {"confirm": "support-bot"}),
    Row("version-differences", EVERYONE, ["support", "support-bot"]),
    Row("adapter-archive", DEVELOPERS, ["support", "support-bot"]),
    Row("adapter-archive", DEVELOPERS, ["support", "support-bot"], {}),
    Row("adapter-restore", DEVELOPERS, ["support", "support-bot"]),
    Row("adapter-restore", DEVELOPERS, ["support", "support-bot"], {}),
    Row("version-notes", DEVELOPERS, ["support", "support-bot", "2"]),
    Row("version-notes", DEVELOPERS, ["support", "support-bot", "2"], {"notes": "Good."}),
    Row("version-archive", DEVELOPERS, ["support", "support-bot", "2"]),
    Row("version-archive", DEVELOPERS, ["support", "support-bot", "2"], {}),
    Row("version-restore", DEVELOPERS, ["support", "support-bot", "2"]),
    Row("version-restore", DEVELOPERS, ["support", "support-bot", "2"], {}),
    Row("version-delete", DEVELOPERS, ["support", "support-bot", "2"]),
    Row("version-delete", DEVELOPERS, ["support", "support-bot", "2"], {"confirm": "support-bot:2"}),
    Row("adapter-shares", EVERYONE, ["support", "support-bot"]),
    Row("adapter-share-new", OWNERS, ["support", "support-bot"]),
    Row("adapter-share-new", OWNERS, ["support", "support-bot"], {"department": "legal"}),
    Row("adapter-share-revoke", OWNERS, ["support", "support-bot", "sales"]),
    Row("adapter-share-revoke", OWNERS, ["support", "support-bot", "sales"], {}),
    Row("department-retention", EVERYONE, ["support"]),
    Row("department-retention", OWNERS, ["support"], {"keep_newest": 3, "grace_days": 14}),
    Row("department-retention-inherit", OWNERS, ["support"], {}),
    Row("signing-keys", EVERYONE, ["support"]),
    Row("signing-key-new", OWNERS, ["support"]),
    Row("signing-key-new", OWNERS, ["support"], {"name": "ci", "public_key": MINISIGN_KEY}),
    Row("signing-key-remove", OWNERS, ["support", "signing_key"]),
    Row("signing-key-remove", OWNERS, ["support", "signing_key"], {}),
    Row("platform-retention", READERS),
    Row("platform-retention", ADMINS, body={"keep_newest": 3, "grace_days": 14}),
    Row("shared-list", EVERYONE, ["support"]),
    Row("shared-adapter", EVERYONE, ["support", "legal", "clauses"]),
    Row("shared-adapter-decline", OWNERS, ["support", "legal", "clauses"]),
    Row("shared-adapter-decline", OWNERS, ["support", "legal", "clauses"], {}),
    Row("comparison-list", EVERYONE, ["support", "support-bot"]),
    Row("comparison-new", DEVELOPERS, ["support", "support-bot"]),
    Row("comparison-new", DEVELOPERS, ["support", "support-bot"], COMPARISON),
    Row("comparison", EVERYONE, ["support", "support-bot", "comparison"]),
    Row("comparison-cancel", DEVELOPERS, ["support", "support-bot", "comparison"]),
    Row("comparison-cancel", DEVELOPERS, ["support", "support-bot", "comparison"], {}),
    Row("comparison-run-again", DEVELOPERS, ["support", "support-bot", "comparison"], {}),
    Row("comparison-delete", DEVELOPERS, ["support", "support-bot", "comparison"]),
    Row("comparison-delete", DEVELOPERS, ["support", "support-bot", "comparison"], {}),
    Row("comparison-policy", OWNERS, ["support"]),
    Row("comparison-policy", OWNERS, ["support"], {"proof": "not_worse", "prompts": 20, "pass_rate": 90}),
    Row("playground", ANYBODY),
    Row("try", TRIERS, ["support"]),
    Row("try-ticket", TRIERS, ["support"], {}),
    Row("engine-list", READERS),
    Row("event-list", READERS),
    Row("deployment-new", ADMINS),
    Row("deployment-new", ADMINS, body={"base_model": "smollm2", "engine_kind": "llamacpp", "replicas": 1}),
    Row("deployment", READERS, ["deployment"]),
    Row("deployment-change", ADMINS, ["deployment"]),
    Row("deployment-change", ADMINS, ["deployment"], WISHES),
    Row("plan", READERS),
    Row("plan", READERS, body=PLAN),
    Row("department-placement", ADMINS, ["support"]),
    Row("department-placement", ADMINS, ["support"], {"placement": "standard"}),
    Row("adapter-placement", ADMINS, ["support", "support-bot"]),
    Row("adapter-placement", ADMINS, ["support", "support-bot"], {"placement": ""}),
    Row("deployment-replicas", ADMINS, ["deployment"]),
    Row("deployment-replicas", ADMINS, ["deployment"], {"replicas": 2}),
    Row("deployment-residency", ADMINS, ["deployment"]),
    Row("deployment-residency", ADMINS, ["deployment"], {"residency": "on_demand", "adapter_slots": 8}),
    Row("deployment-start-again", ADMINS, ["deployment"]),
    Row("deployment-start-again", ADMINS, ["deployment"], {}),
    Row("engine", READERS, ["engine"]),
    Row("node", READERS, ["node-1"]),
    Row("deployment-delete", ADMINS, ["deployment"]),
    Row("deployment-delete", ADMINS, ["deployment"], {}),
    Row("base-model-list", ANYBODY),
    Row("base-model-new", ADMINS),
    Row("base-model-new", ADMINS, body={"name": "b", "gguf_path": "GGUF", "open_to_all": "on"}),
    Row("base-model-prices", ADMINS, ["base_model"]),
    Row("base-model-prices", ADMINS, ["base_model"], {"prompt": "0.1", "cached": "0.1", "completion": "0.4"}),
    Row("user-list", ADMINS),
    Row("user-new", ADMINS),
    Row("user-new", ADMINS, body={"username": "nina", "platform_role": ""}),
    Row("user-password", ADMINS, ["vera"]),
    Row("user-password", ADMINS, ["vera"], {}),
    Row("user-active", ADMINS, ["vera"]),
    Row("user-active", ADMINS, ["vera"], {}),
    Row("audit", ANYBODY),
]


def address(row: Row, cast: Cast) -> str:
    ids: dict[str, object] = {
        "key": cast.key.pk,
        "signing_key": signing_key_of(cast) if "signing_key" in row.parts else 0,
        "membership": cast.support.memberships.get(user=cast.people["vera"]).pk,
        "deployment": cast.deployment.pk,
        "base_model": cast.base_model.pk,
        "engine": cast.engine.pk,
        "comparison": cast.comparison.pk,
        "import": cast.wish.pk,
        "vera": cast.people["vera"].pk,  # type: ignore[union-attr]  # not nobody
    }
    return reverse(row.name, args=[ids.get(part, part) for part in row.parts])


def ask(client: Client, row: Row, cast: Cast) -> int:
    if row.body is None:
        return client.get(address(row, cast)).status_code
    body = {name: cast.base_model.gguf_path if value == "GGUF" else value for name, value in row.body.items()}
    if row.name == "adapter-upload":
        body["files"] = SimpleUploadedFile("adapter_config.json", b"{}")
    return client.post(address(row, cast), body).status_code


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_page_is_for_those_who_have_the_right(row: Row, cast: Cast, sign_in) -> None:
    for person in PEOPLE:
        client = sign_in(person)
        before = transaction.savepoint()
        status = ask(client, row, cast)
        transaction.savepoint_rollback(before)  # the next person finds everything as it was
        if person in row.allowed:
            assert status in (200, 302), person
        else:
            assert status == (404 if row.in_department and person == "lena" else 403), person


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_visitors_are_sent_to_the_sign_in_page(row: Row, cast: Cast, sign_in) -> None:
    client = sign_in("nobody")
    url = address(row, cast)
    response = client.get(url) if row.body is None else client.post(url, row.body)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("row", [row for row in ROWS if row.body is not None], ids=str)
def test_a_form_from_another_site_is_refused(row: Row, cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    assert cast.people["ada"] is not None
    client.force_login(cast.people["ada"])
    assert client.post(address(row, cast), row.body).status_code == 403


def routes() -> Iterator[str]:
    for route in (*tenants_urls.urlpatterns, *serving_urls.urlpatterns):
        assert isinstance(route, URLPattern)
        assert route.name is not None
        yield route.name


def test_every_page_of_the_console_is_in_the_table() -> None:
    assert set(routes()) == {row.name for row in ROWS}
