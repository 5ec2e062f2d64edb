"""An adapter's rollout in the console: canaries, numbers, the way back, history, feedback."""

import re

from django.test import Client
from django.utils import timezone

from cast import Cast
from serving.models import Adapter, Feedback, VersionMinute
from serving.rollouts import gates, rollout_set
from serving.rollouts.thresholds import Thresholds

PAGE = "/departments/support/adapter/support-bot/"


def weights_now(cast: Cast) -> dict[int, int]:
    return Adapter.objects.get(pk=cast.adapter.pk).weights


def numbers_part(client: Client, query: str = "") -> str:
    html = client.get(PAGE + query).content.decode()
    return html[html.index('id="numbers"') : html.index('id="live"')]


def test_a_share_below_a_hundred_makes_a_canary(cast: Cast, sign_in) -> None:
    client = sign_in("dan")
    wish = {
        "share": 10,
        "reason": "Knows the new prices.",
        "watched": "on",
        "requests": 50,
        "error_rate": 3,
        "slower": 4,
    }
    answer = client.post(f"{PAGE}rollout/2/", wish, follow=True)
    assert "support-bot now means 90 % version 1, 10 % version 2." in answer.content.decode()
    assert weights_now(cast) == {1: 90, 2: 10}
    cast.adapter.rollout.refresh_from_db()  # type: ignore[attr-defined]
    assert cast.adapter.rollout.step_back == Thresholds(50, 3.0, 4.0).as_json()  # type: ignore[attr-defined]
    assert "Knows the new prices." in client.get(f"{PAGE}rollout/history/").content.decode()
    client.post(f"{PAGE}rollout/2/", {"share": 40})
    assert weights_now(cast) == {1: 60, 2: 40}


def test_a_senseless_share_is_refused_beside_its_field(sign_in) -> None:
    answer = sign_in("dan").post(f"{PAGE}rollout/2/", {"share": 101})
    assert answer.status_code == 422
    assert "less than or equal to 100" in answer.content.decode()


def test_a_canary_of_the_only_version_is_refused_with_a_reason(cast: Cast, sign_in) -> None:
    answer = sign_in("dan").post(f"{PAGE}rollout/1/", {"share": 50})
    assert answer.status_code == 422
    assert "they sum to 50" in answer.content.decode()


def test_one_click_leads_back(cast: Cast, sign_in) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    client = sign_in("dan")
    part = numbers_part(client)
    assert "Back to version 1" in part
    to = re.search(r'"to": "(\d+)"', part)
    assert to is not None
    answer = client.post(f"{PAGE}rollout/back/", {"to": to[1]}, follow=True)
    assert "support-bot means version 1 again." in answer.content.decode()
    assert weights_now(cast) == {1: 100}


def test_a_click_on_a_page_that_is_out_of_date_changes_nothing(cast: Cast, sign_in) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    answer = sign_in("dan").post(f"{PAGE}rollout/back/", {"to": "0"}, follow=True)
    assert "Somebody else has changed the rollout" in answer.content.decode()
    assert weights_now(cast) == {2: 100}


def test_who_may_only_look_sees_no_way_back(cast: Cast, sign_in) -> None:
    assert "Back to version" in numbers_part(sign_in("dan"))
    assert "Back to version" not in numbers_part(sign_in("vera"))


def test_without_a_way_back_the_page_says_so(cast: Cast, sign_in) -> None:
    cast.adapter.rollout_changes.all().delete()
    client = sign_in("dan")
    assert "Back to" not in numbers_part(client)
    assert "There is no way back" in client.get(f"{PAGE}rollout/back/").content.decode()
    assert "no earlier rollout" in client.post(f"{PAGE}rollout/back/", follow=True).content.decode()


def test_versions_stand_side_by_side_and_are_refreshed(cast: Cast, sign_in) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=None)
    client = sign_in("vera")
    part = numbers_part(client, "?window=1h")
    assert 'hx-trigger="every 10s"' in part
    assert "Canaries are taken back by themselves, if they do worse than version 1." in part
    url = re.search(r'hx-get="([^"]+seen=[0-9a-f]+[^"]*)"', part)
    assert url is not None
    address = url[1].replace("&amp;", "&")
    assert client.get(address).status_code == 204
    VersionMinute.objects.create(
        adapter_version=cast.adapter.versions.get(number=2), minute=timezone.now(), requests=1200, errors=60
    )
    again = client.get(address).content.decode()
    assert "1,200" in again
    assert "(5.0 %)" in again


def test_the_part_by_itself_leads_to_the_page(sign_in) -> None:
    assert sign_in("vera").get(f"{PAGE}numbers/")["Location"] == PAGE


def test_comments_are_the_departments_own(cast: Cast, sign_in) -> None:
    version = cast.adapter.versions.get(number=1)
    for department, comment in ((cast.support, "Just right."), (cast.legal, "Not ours.")):
        Feedback.objects.create(
            request_id=comment,
            department=department,
            adapter_version=version,
            rating=1,
            comment=comment,
            at=timezone.now(),
        )
    html = sign_in("vera").get(f"{PAGE}feedback/").content.decode()
    assert "Just right." in html
    assert "Not ours." not in html
    assert "Nothing matches" in sign_in("vera").get(f"{PAGE}feedback/?q=zzz").content.decode()


def test_a_comment_cannot_smuggle_markup_into_the_page(cast: Cast, sign_in) -> None:
    Feedback.objects.create(
        request_id="r",
        department=cast.support,
        adapter_version=cast.adapter.versions.get(number=1),
        rating=-1,
        comment="<img src=x>",
        at=timezone.now(),
    )
    assert "<img" not in sign_in("vera").get(f"{PAGE}feedback/").content.decode()


def test_gates_are_asked_once_for_a_rollout_that_passes_them(cast: Cast, sign_in, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(gates, "GATES", (lambda _, weights: asked.append(dict(weights)) or [],))
    sign_in("dan").post(f"{PAGE}rollout/2/", {"share": 40})
    assert asked == [{1: 60, 2: 40}]
