"""Accounts, in the console."""

import re

from django.test import Client

from cast import PASSWORD, Cast
from tenants.models import AuditEvent, PlatformRole, User


def password_of(html: str) -> str:
    found = re.search(r'<code id="secret">([^<]+)</code>', html)
    assert found is not None
    return found[1]


def test_a_new_user_signs_in_with_the_password_that_was_shown(sign_in) -> None:
    response = sign_in("ada").post("/users/new/", {"username": "nina", "platform_role": "auditor"})
    password = password_of(response.content.decode())
    assert "no-store" in response["Cache-Control"]
    assert Client().login(username="nina", password=password)
    assert User.objects.get(username="nina").platform_role == PlatformRole.AUDITOR
    event = AuditEvent.objects.get(action="user.create", target="nina")
    assert password not in str(event.details)


def test_a_taken_or_malformed_user_name_is_refused_beside_its_field(sign_in) -> None:
    client = sign_in("ada")
    for name, words in (("Vera", "“Vera” is taken."), ("a b", "valid username"), ("", "required")):
        response = client.post("/users/new/", {"username": name, "platform_role": ""})
        assert response.status_code == 422
        assert words in response.content.decode()


def test_a_new_password_replaces_the_old_one_and_ends_sessions(cast: Cast, sign_in) -> None:
    vera, browser = cast.people["vera"], sign_in("vera")
    assert vera is not None
    html = sign_in("ada").post(f"/users/{vera.pk}/password/").content.decode()
    assert Client().login(username="vera", password=password_of(html))
    assert not Client().login(username="vera", password=PASSWORD)
    assert browser.get("/").status_code == 302


def test_a_closed_account_is_out_until_it_is_reopened(cast: Cast, sign_in) -> None:
    vera, browser, admin = cast.people["vera"], sign_in("vera"), sign_in("ada")
    assert vera is not None
    admin.post(f"/users/{vera.pk}/active/")
    assert browser.get("/").status_code == 302
    assert not Client().login(username="vera", password=PASSWORD)
    admin.post(f"/users/{vera.pk}/active/")
    assert Client().login(username="vera", password=PASSWORD)


def test_nobody_closes_their_own_account(cast: Cast, sign_in) -> None:
    ada = cast.people["ada"]
    assert ada is not None
    assert sign_in("ada").post(f"/users/{ada.pk}/active/").status_code == 404
