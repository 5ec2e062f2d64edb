"""The audit, in the console."""

from cast import Cast
from tenants.audit import audit_record


def shown(client, query: str = "") -> list[str]:
    return [event.target for event in client.get(f"/audit/?{query}").context["listing"].page]


def test_people_read_the_audit_of_what_they_own(cast: Cast, sign_in) -> None:
    audit_record(action="test.write", target="ours", by=cast.people["olga"], department=cast.support)
    audit_record(action="test.write", target="theirs", by=cast.people["lena"], department=cast.legal)
    audit_record(action="test.write", target="platform", by=cast.people["ada"])
    assert shown(sign_in("ada"))[:3] == ["platform", "theirs", "ours"]
    assert "ours" in shown(sign_in("olga"))
    assert not {"theirs", "platform"} & set(shown(sign_in("olga")))
    assert shown(sign_in("vera")) == []


def test_the_audit_is_narrowed_by_department_action_and_person(cast: Cast, sign_in) -> None:
    audit_record(action="test.write", target="one", by=cast.people["olga"], department=cast.support)
    audit_record(action="test.other", target="two", by=cast.people["dan"], department=cast.support)
    audit_record(action="test.write", target="three", by=cast.people["lena"], department=cast.legal)
    client = sign_in("ada")
    assert "three" not in shown(client, "department=support")
    assert shown(client, "action=test.write") == ["three", "one"]
    assert shown(client, "person=dan") == ["two"]
    assert shown(client, "q=thr") == ["three"]
    assert "Nothing matches" in client.get("/audit/?person=nemo").content.decode()


def test_details_are_said_plainly(cast: Cast, sign_in) -> None:
    audit_record(action="rollout.set", target="x", by=None, before={"1": 100}, after={"2": 100}, name="a word")
    html = sign_in("ada").get("/audit/").content.decode()
    assert "{&quot;2&quot;: 100}" in html
    assert "</span> a word</span>" in html


def test_a_foreign_department_in_the_filter_shows_nothing(cast: Cast, sign_in) -> None:
    audit_record(action="test.write", target="theirs", by=cast.people["lena"], department=cast.legal)
    assert shown(sign_in("olga"), "department=legal") == []
