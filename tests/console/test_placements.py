"""Placements of departments and adapters in the console."""

from cast import Cast
from serving.events import event_record
from serving.models import Adapter
from tenants.models import Department


def test_an_admin_places_a_department_and_its_adapter(cast: Cast, sign_in) -> None:
    client = sign_in("ada")
    client.post("/departments/support/placement/", {"placement": "standard"})
    assert Department.objects.get(slug="support").placement == "standard"
    assert "vLLM first" in client.get("/departments/support/adapter/support-bot/").content.decode()
    client.post("/departments/support/adapter/support-bot/placement/", {"placement": "lightweight"})
    assert Adapter.objects.get(name="support-bot").placement == "lightweight"
    assert "llama.cpp first" in client.get("/departments/support/adapter/support-bot/").content.decode()


def test_members_see_where_their_adapter_is_and_how_it_moved_but_cannot_place_it(cast: Cast, sign_in) -> None:
    event_record(kind="adapter.promoted", sentence="support/support-bot moves to vLLM: much.", adapter=cast.adapter)
    html = sign_in("vera").get("/departments/support/adapter/support-bot/").content.decode()
    assert "llama.cpp first, by its traffic" in html
    assert "support/support-bot moves to vLLM: much." in html
    assert "/placement/" not in html
