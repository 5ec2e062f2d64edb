"""API keys in the console: made, shown once, rotated, revoked."""

import re
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from cast import Cast
from tenants.grants import grant_resolve
from tenants.key_format import PATTERN
from tenants.models import APIKey

NEW = "/departments/support/keys/new/"


def secret_of(html: str) -> str:
    found = re.search(r'<code id="secret">([^<]+)</code>', html)
    assert found is not None
    return found[1]


def test_a_new_key_is_shown_with_programs_that_use_it(cast: Cast, sign_in) -> None:
    html = sign_in("dan").post(NEW, {"name": "helpdesk"}).content.decode()
    secret = secret_of(html)
    grant = grant_resolve(secret)
    assert grant is not None
    assert grant.department == "support"
    # Five programs besides the secret itself, each complete with key, address and a model that exists.
    assert html.count(secret) == 6
    assert html.count("http://127.0.0.1:8000/v1") == 3
    assert html.count("support-bot") >= 3


def test_a_secret_stays_in_the_one_response(sign_in) -> None:
    client = sign_in("dan")
    response = client.post(NEW, {"name": "helpdesk"})
    secret = secret_of(response.content.decode())
    assert "no-store" in response["Cache-Control"]
    for url in (NEW, "/departments/support/keys/", "/audit/", "/"):
        assert secret not in client.get(url).content.decode()
    assert not any(secret in str(session.get_decoded()) for session in Session.objects.all())


def test_limits_reach_the_key(cast: Cast, sign_in) -> None:
    tomorrow = (timezone.now() + timedelta(days=1)).date()
    sign_in("dan").post(
        NEW,
        {
            "name": "ci",
            "models": ["support-bot", "smollm2"],
            "scopes": ["inference"],
            "expires_on": tomorrow.isoformat(),
            "allowed_ips": "10.0.0.0/8\n\n192.0.2.17\n",
        },
    )
    key = APIKey.objects.get(name="ci")
    assert key.models_allowed == ["support-bot", "smollm2"]
    assert key.scopes == ["inference"]
    assert key.allowed_ips == ["10.0.0.0/8", "192.0.2.17"]
    assert key.expires_at is not None
    assert key.expires_at.date() == tomorrow + timedelta(days=1)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "This field is required."),
        ("allowed_ips", "10.0.0.0/8\nmars", "mars is no IP address and no network"),
        ("expires_on", "2020-01-01", "This day has passed."),
        ("expires_on", "soon", "Enter a valid date."),
        ("models", "x" * 131, "too long for a model&#x27;s name"),
        ("scopes", "everything", "everything is not one of the available choices"),
    ],
)
def test_a_wrong_limit_is_refused_beside_its_field(field: str, value: str, words: str, sign_in) -> None:
    before = APIKey.objects.count()
    response = sign_in("dan").post(NEW, {"name": "ci", field: value})
    assert response.status_code == 422
    assert words in response.content.decode()
    assert APIKey.objects.count() == before


def test_the_form_offers_the_models_of_the_department(sign_in) -> None:
    assert 'name="models" value="support-bot"' in sign_in("dan").get(NEW).content.decode()


def test_an_example_uses_a_model_that_the_key_may_call(sign_in) -> None:
    html = sign_in("dan").post(NEW, {"name": "base only", "models": ["smollm2"]}).content.decode()
    assert "&quot;model&quot;: &quot;smollm2&quot;" in html
    assert "support-bot" not in html


def test_rotation_shows_the_new_secret_and_says_how_long_the_old_one_works(cast: Cast, sign_in) -> None:
    url = f"/departments/support/keys/{cast.key.pk}/rotate/"
    response = sign_in("dan").post(url, {"grace_seconds": 3600}, headers={"HX-Request": "true"})
    html = response.content.decode()
    assert PATTERN.fullmatch(secret_of(html))
    assert "which works until" in html
    assert response["HX-Retarget"] == "#content"
    cast.key.refresh_from_db()
    assert cast.key.state == "expiring"


def test_a_revoked_key_is_not_rotated(cast: Cast, sign_in) -> None:
    client = sign_in("dan")
    client.post(f"/departments/support/keys/{cast.key.pk}/revoke/")
    response = client.post(f"/departments/support/keys/{cast.key.pk}/rotate/", {"grace_seconds": 0})
    assert response.status_code == 422
    assert "This key is revoked; make a new one instead." in response.content.decode()


def test_revoking_asks_first_and_ends_the_key(cast: Cast, sign_in) -> None:
    client = sign_in("dan")
    url = f"/departments/support/keys/{cast.key.pk}/revoke/"
    assert "Revoke chat?" in client.get(url).content.decode()
    assert grant_resolve(cast.secret) is not None
    client.post(url)
    assert grant_resolve(cast.secret) is None


def test_a_key_of_another_department_is_not_found(cast: Cast, sign_in) -> None:
    assert sign_in("dan").post(f"/departments/support/keys/{cast.legal_key.pk}/revoke/").status_code == 404
    assert grant_resolve(cast.legal_secret) is not None
