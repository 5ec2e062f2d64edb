"""What holds for every page of the console: its frame, its Content-Security-Policy, and few queries."""

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cast import Cast
from serving.models import Adapter, AdapterVersion, BaseModel, Deployment, Engine, Node, Rollout, UsageRecord
from tenants.audit import audit_record
from tenants.departments import department_create, membership_set
from tenants.keys import key_create
from tenants.models import Department, Role, User

PAGES = [
    "/",
    "/departments/",
    "/new-department/",
    "/departments/support/",
    "/departments/support/name/",
    "/departments/support/keys/",
    "/departments/support/keys/new/",
    "/departments/support/members/",
    "/departments/support/members/new/",
    "/departments/support/usage/",
    "/departments/support/limits/",
    "/departments/support/limits/change/",
    "/departments/support/quotas/",
    "/limits/",
    "/limits/change/",
    "/departments/support/adapters/upload/",
    "/departments/support/adapters/import/",
    "/departments/support/adapter/support-bot/",
    "/departments/support/adapter/support-bot/rollout/2/",
    "/departments/support/adapter/support-bot/rollout/back/",
    "/departments/support/adapter/support-bot/rollout/history/",
    "/departments/support/adapter/support-bot/feedback/",
    "/departments/support/adapter/support-bot/delete/",
    "/departments/support/adapter/support-bot/differences/",
    "/departments/support/adapter/support-bot/archive/",
    "/departments/support/adapter/support-bot/restore/",
    "/departments/support/adapter/support-bot/version/2/notes/",
    "/departments/support/adapter/support-bot/version/2/archive/",
    "/departments/support/adapter/support-bot/version/2/restore/",
    "/departments/support/adapter/support-bot/version/2/delete/",
    "/departments/support/adapter/support-bot/shares/",
    "/departments/support/adapter/support-bot/shares/new/",
    "/departments/support/retention/",
    "/departments/support/signing-keys/",
    "/departments/support/signing-keys/new/",
    "/retention/",
    "/departments/support/shared/",
    "/departments/support/shared/legal/clauses/",
    "/departments/support/shared/legal/clauses/decline/",
    "/departments/support/adapter/support-bot/comparisons/",
    "/departments/support/adapter/support-bot/comparisons/new/",
    "/departments/support/comparison-policy/",
    "/departments/support/try/",
    "/engines/",
    "/engines/deployments/new/",
    "/base-models/",
    "/base-models/new/",
    "/users/",
    "/users/new/",
    "/audit/",
    "/accounts/login/",
    "/accounts/password/change/",
    "/accounts/logout/",
    "/accounts/email/",
    "/no/such/page/",
]

# What a Content-Security-Policy without `unsafe-inline` would silently disable.
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:|\bhx-on")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_nothing_inline_and_nothing_from_elsewhere(page: str, sign_in) -> None:
    client = sign_in("nobody" if page == "/accounts/login/" else "ada")
    html = client.get(page).content.decode()
    assert "<!doctype html>" in html
    assert INLINE.findall(html) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//', html) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_a_title_a_heading_and_a_language(page: str, sign_in) -> None:
    client = sign_in("nobody" if page == "/accounts/login/" else "ada")
    html = client.get(page).content.decode()
    assert re.search(r"<title>[^<]*\S[^<]* · Polygraft</title>", html)
    assert len(re.findall(r"<h1[ >]", html)) >= 1
    assert '<html lang="en">' in html


def test_the_policy_allows_no_inline_code(sign_in) -> None:
    policy = sign_in("ada").get("/")["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_every_form_field_has_a_label(sign_in) -> None:
    for page in PAGES:
        html = sign_in("ada").get(page).content.decode()
        for tag in re.findall(r"<(?:input|select|textarea)[^>]*>", html):
            kind = re.search(r'type="(\w+)"', tag)
            if kind and kind[1] in ("hidden", "checkbox", "radio", "search"):
                continue  # wrapped in their label
            name = re.search(r'id="([^"]+)"', tag)
            labelled = "aria-label=" in tag or (name is not None and f'for="{name[1]}"' in html)
            assert labelled, f"{tag} on {page}"


def test_the_side_bar_shows_what_one_may_see(sign_in) -> None:
    def entries(person: str) -> list[str]:
        return re.findall(r'nav-link-title">([^<]+)', sign_in(person).get("/").content.decode())

    assert entries("ada") == [
        "Overview",
        "Departments",
        "Playground",
        "Base models",
        "Engines",
        "Limits",
        "Retention",
        "Users",
        "Audit",
        "API",
    ]
    assert entries("audrey") == [
        "Overview",
        "Departments",
        "Base models",
        "Engines",
        "Limits",
        "Retention",
        "Audit",
        "API",
    ]
    assert entries("olga") == ["Overview", "Departments", "Playground", "Base models", "Audit", "API"]
    assert entries("vera") == ["Overview", "Departments", "Playground", "Base models", "API"]


def test_an_error_page_says_why(sign_in) -> None:
    response = sign_in("vera").get("/departments/support/keys/new/")
    assert response.status_code == 403
    assert "Your role does not allow this. Ask an owner" in response.content.decode()


def test_a_defect_shows_a_page_and_no_details(sign_in, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("serving.console.overview.period", broken)
    client = sign_in("ada")
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert "Something broke on our side" in response.content.decode()
    assert "secret detail" not in response.content.decode()


def test_signing_in_leads_to_the_page_that_was_asked_for(cast: Cast) -> None:
    client = Client()
    assert client.get("/engines/")["Location"] == "/accounts/login/?next=/engines/"
    response = client.post(
        "/accounts/login/?next=/engines/",
        {"login": "ada", "password": "correct horse battery staple", "next": "/engines/"},
    )
    assert response["Location"] == "/engines/"


def test_a_wrong_password_is_refused_beside_the_form(cast: Cast) -> None:
    response = Client().post("/accounts/login/", {"login": "ada", "password": "wrong"})
    assert response.status_code == 200
    assert "not correct" in response.content.decode()


def test_nobody_signs_up(cast: Cast) -> None:
    response = Client().post("/accounts/signup/", {"username": "eve", "password1": "x9!kfmw3pq"})
    assert "Accounts are made by an admin" in response.content.decode()
    assert not User.objects.filter(username="eve").exists()


LISTS = {
    "/": 22,
    "/departments/": 5,
    "/departments/support/": 8,
    "/departments/support/keys/": 6,
    "/departments/support/members/": 6,
    "/departments/support/usage/": 8,
    "/departments/support/adapter/support-bot/": 16,
    "/base-models/": 6,
    "/engines/": 8,
    "/users/": 6,
    "/audit/": 9,
}


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


@pytest.fixture
def grow(cast: Cast) -> Callable[[range], None]:
    """Add rows of these numbers to all that the lists show."""

    def rows(numbers: range) -> None:
        for index in numbers:
            department = department_create(slug=f"d{index}", name=f"Department {index}", by=None)
            user = User.objects.create(username=f"u{index}", password=make_password(None))
            membership_set(department=cast.support, user=user, role=Role.VIEWER, by=None)
            membership_set(department=department, user=user, role=Role.OWNER, by=None)
            key_create(department=cast.support, name=f"k{index}", by=user)
            base = BaseModel.objects.create(name=f"b{index}", gguf_path="/x", open_to_all=False)
            base.departments.add(department, cast.support)
            adapter = Adapter.objects.create(department=cast.support, name=f"a{index}", base_model=base)
            version = AdapterVersion.objects.create(adapter=adapter, number=1, state="ready", uploaded_by=user)
            Rollout.objects.create(adapter=adapter, weights={"1": 100})
            AdapterVersion.objects.create(
                adapter=cast.adapter, number=index + 3, state="ready", digest=f"{index:064x}", uploaded_by=user
            )
            node = Node.objects.create(name=f"n{index}", address="127.0.0.1", last_seen_at="2026-01-01T00:00Z")
            deployment = Deployment.objects.create(base_model=base, engine_kind="llamacpp")
            Engine.objects.create(deployment=deployment, node=node, state="ready")
            UsageRecord.objects.create(
                request_id=f"r{index}",
                at="2026-01-01T00:00Z",
                department=cast.support,
                model=f"a{index}:1",
                adapter_version=version,
                outcome="finished",
                status=200,
                duration_ms=1,
            )
            audit_record(action="test.write", target=f"t{index}", by=user, department=department)

    return rows


@pytest.mark.parametrize("url", LISTS)
def test_a_page_asks_the_database_as_often_for_many_rows_as_for_few(url: str, sign_in, grow) -> None:
    client = sign_in("ada")
    grow(range(2))
    few = queries(client, url)
    grow(range(2, 12))
    many = queries(client, url)
    assert many <= few
    assert few <= LISTS[url]


def test_a_page_of_the_list_is_short_and_the_rest_is_a_click_away(cast: Cast, sign_in) -> None:
    Department.objects.bulk_create(Department(slug=f"d{n:02}", name=f"D{n:02}") for n in range(60))
    client = sign_in("ada")
    first = client.get("/departments/").context["listing"].page
    assert (len(first), first.paginator.num_pages) == (25, 3)
    assert "d59" in client.get("/departments/?page=3").content.decode()
    assert client.get("/departments/?page=99").context["listing"].page.number == 3


def test_a_list_is_searched_and_sorted(cast: Cast, sign_in) -> None:
    client = sign_in("ada")

    def shown(query: str) -> list[str]:
        return [row.slug for row in client.get(f"/departments/?{query}").context["listing"].page]

    assert shown("q=LEG") == ["legal"]
    assert shown("sort=-name") == ["support", "legal"]
    assert shown("sort=members") == ["legal", "support"]
    assert shown("sort=nonsense") == ["legal", "support"]
    assert "Nothing matches “xyz”" in client.get("/departments/?q=xyz").content.decode()


def test_a_search_is_shown_without_being_run(sign_in) -> None:
    html = sign_in("ada").get("/departments/", {"q": "<script>alert(1)</script>"}).content.decode()
    assert "<script>alert" not in html


def test_someone_without_a_department_is_told_what_to_do(cast: Cast) -> None:
    client = Client()
    client.force_login(User.objects.create(username="nils"))
    for page in ("/", "/departments/"):
        assert "You belong to no department yet" in client.get(page).content.decode()
    assert "no department whose models you may try" in client.get(reverse("playground")).content.decode()
