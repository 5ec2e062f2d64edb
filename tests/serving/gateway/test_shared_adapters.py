"""Calling another department's adapter at the gateway: who may, as what, on whose account, and how soon no longer."""

from collections.abc import Callable

import httpx
import pytest

from cast import Cast
from deadline import wait_until
from serving.adapters.retirement import adapter_delete
from serving.adapters.sharing import adapter_share, share_decline, share_revoke
from serving.gateway.auth import engine_cache_salt
from serving.models import AdapterVersion, VersionState
from serving.rollouts import rollout_set
from tenants.keys import key_create

from .served import CHAT, Engines, Served, one_usage_record, question

Serve = Callable[..., Served]
SHARED = "support/support-bot"


@pytest.fixture
def shared(cast: Cast) -> None:
    adapter_share(adapter=cast.adapter, receiver="legal", by=None)


def ask(client: httpx.Client, model: str) -> httpx.Response:
    return client.post(CHAT, json=question(model))


def models(client: httpx.Client) -> list[str]:
    return [model["id"] for model in client.get("/v1/models").json()["data"]]


@pytest.mark.parametrize(
    ("caller", "model", "status"),
    [
        ("owner", "support-bot", 200),
        ("owner", "support-bot:2", 200),
        ("owner", "support/support-bot", 404),
        ("receiver", "support/support-bot", 200),
        ("receiver", "support/support-bot:1", 200),
        ("receiver", "support/support-bot:2", 200),
        ("receiver", "support/support-bot:3", 404),  # being validated: nothing of that is told
        ("receiver", "support/support-bot:4", 404),  # rejected
        ("receiver", "support/support-bot:9", 404),
        ("receiver", "support-bot", 404),
        ("receiver", "support-bot:1", 404),
        ("receiver", "legal/support-bot", 404),
        ("receiver", "support/other", 404),
        ("owner", "legal/clauses", 404),  # shared with it, but nothing of it is ready
    ],
)
@pytest.mark.usefixtures("shared")
def test_a_name_leads_only_where_it_was_shared_to(
    cast: Cast, engines: Engines, serve: Serve, caller: str, model: str, status: int
) -> None:
    for number, state in ((3, VersionState.VALIDATING), (4, VersionState.REJECTED)):
        AdapterVersion.objects.create(adapter=cast.adapter, number=number, state=state)
    engines.start()
    answer = ask(serve().client(cast.secret if caller == "owner" else cast.legal_secret), model)
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["error"]["code"] == "model_not_found"
    else:
        assert answer.headers["x-polygraft-model"].partition(":")[0] == model.partition(":")[0]


def test_what_is_not_shared_is_refused_in_the_words_of_what_does_not_exist(
    cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start()
    client = serve().client(cast.legal_secret)

    def words(model: str) -> str:
        return str(ask(client, model).json()["error"]).replace(model, "X")

    assert words("support/support-bot") == words("nowhere/support-bot") == words("nonsense")


@pytest.mark.usefixtures("shared")
def test_a_shared_adapter_is_listed_with_its_owner(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start()
    client = serve().client(cast.legal_secret)
    assert models(client) == ["smollm2", SHARED]
    found = client.get(f"/v1/models/{SHARED}").json()
    assert (found["id"], found["owned_by"]) == (SHARED, "support")
    assert client.get(f"/v1/models/{SHARED.replace('/', '%2F')}").json() == found
    assert client.get(f"/v1/models/{SHARED}:2").status_code == 200


@pytest.mark.usefixtures("shared")
def test_usage_is_the_callers_and_so_is_the_prefix_cache(cast: Cast, engines: Engines, serve: Serve) -> None:
    engine = engines.start()
    assert ask(serve().client(cast.legal_secret), f"{SHARED}:2").status_code == 200
    record = one_usage_record()
    assert (record["department_id"], record["key_id"]) == (cast.legal.pk, cast.legal_key.pk)
    assert record["model"] == f"{SHARED}:2"
    assert record["adapter_version_id"] == cast.adapter.versions.get(number=2).pk
    assert engine.stats()["last_body"]["cache_salt"] == engine_cache_salt(cast.legal.cache_salt)


@pytest.mark.usefixtures("shared")
def test_receivers_follow_the_owners_rollout(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start()
    client = serve().client(cast.legal_secret)
    assert ask(client, SHARED).headers["x-polygraft-model"] == f"{SHARED}:1"
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    wait_until(
        lambda: ask(client, SHARED).headers["x-polygraft-model"] == f"{SHARED}:2", seconds=1, what="it rolls out"
    )


@pytest.mark.parametrize("way", ["revoked", "declined", "deleted", "base model"])
def test_a_share_that_ends_is_refused_within_a_second(cast: Cast, engines: Engines, serve: Serve, way: str) -> None:
    share = adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    engines.start()
    client = serve().client(cast.legal_secret)
    assert ask(client, SHARED).status_code == 200
    if way == "revoked":
        share_revoke(share=share, by=None)
    elif way == "declined":
        share_decline(adapter=cast.adapter, receiver=cast.legal, by=None)
    elif way == "deleted":
        adapter_delete(adapter=cast.adapter, by=None)
    else:
        cast.base_model.open_to_all = False
        cast.base_model.save()
        # Whatever else changes makes gateways read it again.
        adapter_share(adapter=cast.adapter, receiver="elsewhere", by=None)
    wait_until(lambda: ask(client, SHARED).status_code == 404, seconds=1, what="it is refused")
    assert SHARED not in models(client)


def test_a_share_begins_within_a_second(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start()
    client = serve().client(cast.legal_secret)
    assert ask(client, SHARED).status_code == 404
    adapter_share(adapter=cast.adapter, receiver="legal", by=None)
    wait_until(lambda: ask(client, SHARED).status_code == 200, seconds=1, what="it can be called")


@pytest.mark.usefixtures("shared")
def test_a_keys_list_of_models_holds_for_shared_adapters(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start()
    gateway = serve()

    def statuses(*allowed: str) -> list[int]:
        _, secret = key_create(department=cast.legal, name="narrow", by=None, models=allowed)
        client = gateway.client(secret)
        return [ask(client, model).status_code for model in (SHARED, f"{SHARED}:2", "smollm2")]

    assert statuses(SHARED) == [200, 200, 404]
    assert statuses(f"{SHARED}:2") == [404, 200, 404]
    assert statuses("smollm2") == [404, 404, 200]
