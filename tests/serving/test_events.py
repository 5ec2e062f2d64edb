"""Events: one readable row each, counted when they go on, taken in from gateways, narrowed over REST."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from cast import Cast
from polygraft.live import redis_client
from serving.event_notes import EVENT_NOTES_KEY, EventNote
from serving.events import event_record, events_forget, events_take_in
from serving.models import PlatformEvent


def test_an_event_names_what_its_subject_belongs_to(cast: Cast) -> None:
    event_record(kind="engine.failed", sentence="It broke.", engine=cast.engine, is_problem=True)
    event = PlatformEvent.objects.get()
    assert event.deployment == cast.deployment
    assert event.node == cast.engine.node
    assert event.base_model == cast.base_model
    event_record(kind="adapter.promoted", sentence="It moved.", adapter=cast.adapter)
    event = PlatformEvent.objects.get(kind="adapter.promoted")
    assert (event.department, event.base_model) == (cast.support, cast.base_model)


def test_the_same_sentence_about_the_same_subject_is_counted_and_not_repeated(cast: Cast) -> None:
    for _ in range(3):
        event_record(kind="replica.waits", sentence="Replica 2 waits.", deployment=cast.deployment)
        event_record(kind="replica.waits", sentence="Replica 3 waits.", deployment=cast.deployment)
    assert sorted(PlatformEvent.objects.values_list("sentence", "times")) == [
        ("Replica 2 waits.", 3),
        ("Replica 3 waits.", 3),
    ]
    event = PlatformEvent.objects.get(sentence="Replica 2 waits.")
    assert event.last_at > event.at


def test_the_same_sentence_about_another_subject_or_much_later_is_another_event(cast: Cast) -> None:
    event_record(kind="node.lost", sentence="It is lost.", node=cast.engine.node)
    event_record(kind="node.lost", sentence="It is lost.")
    assert PlatformEvent.objects.count() == 2
    PlatformEvent.objects.update(last_at=timezone.now() - timedelta(minutes=11))
    event_record(kind="node.lost", sentence="It is lost.")
    assert PlatformEvent.objects.count() == 3


def test_an_event_outlives_what_it_is_about(cast: Cast) -> None:
    event_record(kind="engine.failed", sentence="The engine on node-1 broke.", engine=cast.engine)
    cast.deployment.delete()
    assert PlatformEvent.objects.get().sentence == "The engine on node-1 broke."


def test_notes_of_gateways_are_taken_in_and_unreadable_ones_do_no_harm(cast: Cast) -> None:
    note = EventNote(kind="engine.shunned", sentence="The gateway avoids it.", engine_id=str(cast.engine.pk))
    redis_client().rpush(EVENT_NOTES_KEY, b"{", note.as_bytes())
    assert events_take_in() == 2
    assert PlatformEvent.objects.get().engine == cast.engine
    assert events_take_in() == 0


def test_old_events_are_forgotten(cast: Cast) -> None:
    event_record(kind="node.lost", sentence="Old.")
    PlatformEvent.objects.update(last_at=timezone.now() - timedelta(days=91))
    event_record(kind="node.lost", sentence="New.")
    events_forget()
    assert PlatformEvent.objects.get().sentence == "New."


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Waits.", "Broke."]),
        ("kind__startswith=engine.", ["Broke."]),
        ("is_problem=true", ["Broke."]),
        ("deployment={deployment}", ["Waits.", "Broke."]),
        ("engine={engine}", ["Broke."]),
        ("node__name=node-1", ["Broke."]),
        ("base_model__name=smollm2", ["Waits.", "Broke."]),
        ("base_model__name=other", []),
        ("search=wai", ["Waits."]),
        ("last_at__gte=2999-01-01T00:00:00Z", []),
        ("page_size=1", ["Waits."]),
    ],
)
def test_events_are_narrowed_and_paged_the_newest_first(cast: Cast, query: str, found: list[str]) -> None:
    event_record(kind="engine.failed", sentence="Broke.", engine=cast.engine, is_problem=True)
    event_record(kind="replica.waits", sentence="Waits.", deployment=cast.deployment)
    client = APIClient()
    client.force_authenticate(cast.people["audrey"])
    answer = client.get("/api/v1/events?" + query.format(deployment=cast.deployment.pk, engine=cast.engine.pk))
    assert [event["sentence"] for event in answer.json()["results"]] == found
