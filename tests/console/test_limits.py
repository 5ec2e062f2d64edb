"""Limits in the console: shown with what is used of them, and changed by those who may."""

from decimal import Decimal

from django.test import Client

from cast import Cast
from polygraft.live import redis_client
from serving.accounting.counters import counter_key
from tenants.departments import department_limit
from tenants.keys import key_limit

CHANGE = "/departments/support/limits/change/"


def page(client: Client, url: str) -> str:
    return client.get(url).content.decode()


def test_a_limit_shows_what_is_used_of_it(cast: Cast, sign_in) -> None:
    department_limit(department=cast.support, limits={"concurrent_requests": 8}, by=None)
    key = counter_key(f"department:{cast.support.pk}", "concurrent_requests")
    redis_client().hset(key, mapping={"one": "2 99999999999999", "another": "4 99999999999999", "dead": "2 1"})
    html = page(sign_in("vera"), "/departments/support/limits/")
    assert "8 requests at once" in html
    assert "6 used" in html
    assert 'max="100" value="75"' in html
    redis_client().delete(key)


def test_an_admin_sets_limits_and_an_empty_field_takes_one_away(cast: Cast, sign_in) -> None:
    client = sign_in("ada")
    client.post(CHANGE, {"requests_per_minute": 600, "money_per_month": "99.50"})
    cast.support.refresh_from_db()
    assert cast.support.limits == {"requests_per_minute": 600, "money_per_month": "99.5"}
    client.post(CHANGE, {"requests_per_minute": "", "tokens_per_day": 1000})
    cast.support.refresh_from_db()
    assert cast.support.limits == {"tokens_per_day": 1000}


def test_the_limits_of_one_model_leave_the_others_as_they_are(cast: Cast, sign_in) -> None:
    limits = {"requests_per_minute": 600, "models": {"smollm2": {"tokens_per_day": 7}}}
    department_limit(department=cast.support, limits=limits, by=None)
    client = sign_in("ada")
    dialog = page(client, f"{CHANGE}?model=*")
    assert '<option value="support-bot"' in dialog
    assert '<option value="smollm2"' not in dialog
    assert 'value="7"' in page(client, f"{CHANGE}?model=smollm2")
    client.post(CHANGE, {"model": "support-bot", "tokens_per_minute": 50})
    cast.support.refresh_from_db()
    models = {"smollm2": {"tokens_per_day": 7}, "support-bot": {"tokens_per_minute": 50}}
    assert cast.support.limits == {"requests_per_minute": 600, "models": models}
    client.post(CHANGE, {"requests_per_minute": 500})
    cast.support.refresh_from_db()
    assert cast.support.limits == {"requests_per_minute": 500, "models": models}


def test_a_model_that_the_department_cannot_call_is_refused(cast: Cast, sign_in) -> None:
    client = sign_in("ada")
    for model in ("legal-bot", "", "*"):
        assert client.post(CHANGE, {"model": model, "tokens_per_minute": 50}).status_code == 422
    cast.support.refresh_from_db()
    assert cast.support.limits == {}


def test_what_is_no_limit_is_refused_beside_its_field(cast: Cast, sign_in) -> None:
    response = sign_in("ada").post(CHANGE, {"requests_per_minute": 0})
    assert response.status_code == 422
    assert 'id="id_requests_per_minute_error"' in response.content.decode()


def test_an_owner_limits_a_key_but_is_not_offered_to_limit_the_department(cast: Cast, sign_in) -> None:
    client = sign_in("olga")
    client.post(f"/departments/support/keys/{cast.key.pk}/limits/", {"concurrent_requests": 3})
    cast.key.refresh_from_db()
    assert cast.key.limits == {"concurrent_requests": 3}
    html = page(client, "/departments/support/limits/")
    assert "3 requests at once" in html
    assert CHANGE not in html


def test_without_redis_the_limits_show_without_their_use(cast: Cast, sign_in, monkeypatch) -> None:
    import redis

    def away(*_: object, **__: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr("serving.console.limit_rows.used_of", away)
    key_limit(key=cast.key, limits={"tokens_per_day": 3}, by=None)
    html = page(sign_in("vera"), "/departments/support/limits/")
    assert "3 tokens per day" in html
    assert "use unknown" in html


def test_the_list_of_base_models_shows_prices_and_an_admin_changes_them(cast: Cast, sign_in) -> None:
    client = sign_in("ada")
    assert "free" in page(client, "/base-models/")
    client.post(
        f"/base-models/{cast.base_model.pk}/prices/", {"prompt": "0.15", "cached": "0.05", "completion": "0.60"}
    )
    cast.base_model.refresh_from_db()
    assert cast.base_model.prices.completion == Decimal("0.6")
    assert "0.15 in, 0.6 out, USD" in page(client, "/base-models/")
