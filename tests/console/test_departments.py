"""Departments and their members, in the console."""

from cast import Cast
from tenants.models import AuditEvent, Department, Role, User


def test_an_admin_creates_a_department_and_lands_on_its_page(sign_in) -> None:
    response = sign_in("ada").post("/new-department/", {"name": "Sales", "slug": "sales"}, follow=True)
    assert response.redirect_chain == [("/departments/sales/", 302)]
    assert "Sales is created." in response.content.decode()
    assert AuditEvent.objects.get(action="department.create", target="sales").actor_name == "ada"


def test_a_department_may_be_called_new(sign_in) -> None:
    client = sign_in("ada")
    client.post("/new-department/", {"name": "New", "slug": "new"})
    assert client.get("/departments/new/").context["department"].slug == "new"


def test_a_wrong_slug_is_refused_beside_its_field(sign_in) -> None:
    client = sign_in("ada")
    for slug, words in (("support", "is taken"), ("Not A Slug", "Use 1 to 50 lower-case letters"), ("", "required")):
        response = client.post("/new-department/", {"name": "X", "slug": slug})
        assert response.status_code == 422
        assert words in response.content.decode()
        assert 'aria-invalid="true"' in response.content.decode()
    assert Department.objects.count() == 2


def test_an_owner_renames_a_department(cast: Cast, sign_in) -> None:
    sign_in("olga").post("/departments/support/name/", {"name": "Customer care"})
    cast.support.refresh_from_db()
    assert cast.support.name == "Customer care"


def test_a_dialog_is_a_fragment_and_a_page_of_its_own(sign_in) -> None:
    client = sign_in("olga")
    page = client.get("/departments/support/name/").content.decode()
    dialog = client.get("/departments/support/name/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" in page
    assert "<html" not in dialog
    assert 'hx-post="/departments/support/name/"' in dialog


def test_a_dialog_sends_the_browser_on_after_its_write(sign_in) -> None:
    htmx = {"HX-Request": "true"}
    response = sign_in("olga").post("/departments/support/name/", {"name": "Care"}, headers=htmx)
    assert (response.status_code, response["HX-Redirect"]) == (204, "/departments/support/")


def test_an_owner_adds_a_member_by_user_name(cast: Cast, sign_in) -> None:
    sign_in("olga").post("/departments/support/members/new/", {"username": "lena", "role": "developer"})
    assert cast.support.memberships.get(user__username="lena").role == Role.DEVELOPER


def test_adding_nobody_or_a_member_again_is_refused_beside_the_field(sign_in) -> None:
    client = sign_in("olga")
    for name, words in (("ghost", "There is no user “ghost”"), ("dan", "dan is a member already")):
        response = client.post("/departments/support/members/new/", {"username": name, "role": "viewer"})
        assert response.status_code == 422
        assert words in response.content.decode()


def test_a_closed_account_is_nobody(sign_in) -> None:
    User.objects.filter(username="lena").update(is_active=False)
    response = sign_in("olga").post("/departments/support/members/new/", {"username": "lena", "role": "viewer"})
    assert response.status_code == 422


def test_a_role_is_changed_and_a_member_removed(cast: Cast, sign_in) -> None:
    client = sign_in("olga")
    vera = cast.support.memberships.get(user__username="vera")
    client.post(f"/departments/support/members/{vera.pk}/role/", {"role": "owner"})
    vera.refresh_from_db()
    assert vera.role == Role.OWNER
    client.post(f"/departments/support/members/{vera.pk}/remove/")
    assert not cast.support.memberships.filter(pk=vera.pk).exists()


def test_the_last_owner_is_warned_before_leaving(cast: Cast, sign_in) -> None:
    olga = cast.support.memberships.get(user__username="olga")
    client = sign_in("olga")
    assert "is the last owner" in client.get(f"/departments/support/members/{olga.pk}/remove/").content.decode()
    response = client.post(f"/departments/support/members/{olga.pk}/remove/")
    assert response["Location"] == "/departments/"


def test_a_membership_of_another_department_is_not_found(cast: Cast, sign_in) -> None:
    foreign = cast.legal.memberships.get(user__username="lena")
    assert sign_in("olga").post(f"/departments/support/members/{foreign.pk}/remove/").status_code == 404
    assert cast.legal.memberships.filter(pk=foreign.pk).exists()


def test_buttons_show_only_to_those_who_may_press_them(sign_in) -> None:
    assert "New department" not in sign_in("olga").get("/departments/").content.decode()
    assert "Add member" not in sign_in("dan").get("/departments/support/members/").content.decode()
    assert "Add member" in sign_in("olga").get("/departments/support/members/").content.decode()
    assert "Upload adapter" not in sign_in("vera").get("/departments/support/").content.decode()
    assert "Playground" not in sign_in("audrey").get("/departments/support/").content.decode()
