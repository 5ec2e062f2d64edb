"""A deployment's page, and its changes, in the console."""

import re
from typing import Any

import pytest
from django.utils import timezone

from cast import Cast, engine_put
from serving.events import event_record
from serving.models import Adapter, AdapterVersion, Deployment, Engine

WISHES = {"replicas": 1, "min_replicas": 1, "concurrency": 4, "residency": "eager", "adapter_slots": 32}


def change(cast: Cast, sign_in: Any, **fields: Any) -> Any:
    return sign_in("ada").post(f"/engines/deployments/{cast.deployment.pk}/change/", {**WISHES, **fields})


def test_a_deployments_page_tells_its_needs_and_what_was_decided(cast: Cast, sign_in) -> None:
    event_record(
        kind="replica.waits",
        sentence="Replica 2 waits: needs 18.0 GiB, the best node (a) has 12.0 GiB free.",
        is_problem=True,
        deployment=cast.deployment,
    )
    html = sign_in("audrey").get(f"/engines/deployments/{cast.deployment.pk}/").content.decode()
    assert "needs 18.0 GiB, the best node" in html
    assert re.search(r"An engine needs</dt><dd>\d+ MiB of main memory", html)
    assert f"/deployments/{cast.deployment.pk}/change/" not in html


def test_failures_show_and_a_deployment_that_was_given_up_is_started_again_from_its_page(cast: Cast, sign_in) -> None:
    url = f"/engines/deployments/{cast.deployment.pk}/"
    again = f"{url}start-again/"
    assert "start-again" not in sign_in("ada").get(url).content.decode()
    engine_put(cast.engine, "failed", failure="out_of_memory", error="It ended.\nNo room left", ended_at=timezone.now())
    html = sign_in("ada").get(url).content.decode()
    assert "1 engine failed within 10 minutes." in html
    assert again in html
    for _ in range(4):
        failed = {"state": "failed", "failure": "crashed", "error": "Segmentation fault", "ended_at": timezone.now()}
        Engine.objects.create(deployment=cast.deployment, node=cast.engine.node, **failed)
    html = sign_in("ada").get(url).content.decode()
    assert "It is not started any more: its engines failed 5 times" in html
    assert "Segmentation fault" in html
    assert "start-again" not in sign_in("audrey").get(url).content.decode()
    assert sign_in("ada").post(again).headers["location"] == url
    assert "failed 5 times" not in sign_in("ada").get(url).content.decode()


def test_a_sleeping_deployment_says_so(cast: Cast, sign_in) -> None:
    Deployment.objects.update(replicas=0, idle_minutes=30, asleep_since=timezone.now())
    html = sign_in("ada").get(f"/engines/deployments/{cast.deployment.pk}/").content.decode()
    assert "It sleeps since" in html
    assert "asleep" in sign_in("ada").get("/engines/").content.decode()


def test_bounds_labels_and_pinned_adapters_are_changed_together(cast: Cast, sign_in) -> None:
    response = change(
        cast,
        sign_in,
        max_replicas=3,
        idle_minutes=30,
        concurrency=8,
        node_selector="zone=eu, disk=fast",
        residency="pinned",
        pinned="support/support-bot\n",
    )
    assert response.status_code == 302
    deployment = Deployment.objects.get(pk=cast.deployment.pk)
    assert (deployment.max_replicas, deployment.idle_minutes, deployment.concurrency) == (3, 30, 8)
    assert deployment.node_selector == {"zone": "eu", "disk": "fast"}
    assert list(deployment.pinned.all()) == [cast.adapter]
    shown = sign_in("ada").get(f"/engines/deployments/{cast.deployment.pk}/change/").content.decode()
    assert "zone=eu, disk=fast" in shown
    assert "support/support-bot" in shown


def test_only_other_options_and_labels_bring_successors(cast: Cast, sign_in) -> None:
    change(cast, sign_in, max_replicas=3, concurrency=9)
    assert Deployment.objects.get(pk=cast.deployment.pk).revision == 1
    change(cast, sign_in, option_ctx_size=4096)
    assert Deployment.objects.get(pk=cast.deployment.pk).revision == 2
    change(cast, sign_in, option_ctx_size=4096, node_selector="zone=eu")
    assert Deployment.objects.get(pk=cast.deployment.pk).revision == 3
    change(cast, sign_in, option_ctx_size=4096, node_selector="zone=eu")
    assert Deployment.objects.get(pk=cast.deployment.pk).revision == 3


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"min_replicas": 5, "max_replicas": 2}, "at least the fewest"),
        ({"replicas": 5, "max_replicas": 2}, "It may have 2 replicas at most"),
        ({"node_selector": "zone"}, "zone is no label such as zone=eu"),
        ({"pinned": "support/nobody"}, "There is no adapter support/nobody"),
        ({"option_ctx_size": 1}, "greater than or equal to 256"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(
    cast: Cast, sign_in, fields: dict[str, Any], complaint: str
) -> None:
    response = change(cast, sign_in, **fields)
    assert response.status_code == 422
    assert complaint in response.content.decode()
    assert Deployment.objects.get(pk=cast.deployment.pk).max_replicas is None


@pytest.mark.parametrize(
    ("given", "kept"), [("", {}), ("True", {"prefix_caching": True}), ("False", {"prefix_caching": False})]
)
def test_what_an_engine_does_unless_told_is_switched_off_and_stays_so(
    cast: Cast, sign_in, given: str, kept: dict[str, bool]
) -> None:
    Deployment.objects.update(engine_kind="vllm")
    change(cast, sign_in, option_prefix_caching=given)
    assert Deployment.objects.get(pk=cast.deployment.pk).options == kept
    shown = sign_in("ada").get(f"/engines/deployments/{cast.deployment.pk}/change/").content.decode()
    (field,) = re.findall(r'name="option_prefix_caching".*?</select>', shown, re.DOTALL)
    assert re.findall(r'value="(\w*)" selected', field) == [given]


def test_scaling_wakes_who_sleeps(cast: Cast, sign_in) -> None:
    Deployment.objects.update(replicas=0, idle_minutes=30, asleep_since=timezone.now())
    sign_in("ada").post(f"/engines/deployments/{cast.deployment.pk}/replicas/", {"replicas": 1})
    assert Deployment.objects.get(pk=cast.deployment.pk).asleep_since is None


def test_the_pages_ask_no_more_with_more_adapters(cast: Cast, sign_in, django_assert_max_num_queries) -> None:
    adapters = Adapter.objects.bulk_create(
        Adapter(department=cast.support, name=f"a{number}", base_model=cast.base_model) for number in range(50)
    )
    AdapterVersion.objects.bulk_create(
        AdapterVersion(adapter=adapter, number=1, state="ready", digest=f"{adapter.pk:064x}") for adapter in adapters
    )
    client = sign_in("ada")
    with django_assert_max_num_queries(12):
        client.get(f"/engines/deployments/{cast.deployment.pk}/")
