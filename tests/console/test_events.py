"""The console's pages of events."""

from cast import Cast
from serving.events import event_record


def test_events_show_on_the_page_of_engines_and_on_their_own(cast: Cast, sign_in) -> None:
    client = sign_in("audrey")
    assert "Nothing has happened yet" in client.get("/engines/").content.decode()
    for _ in range(2):
        event_record(kind="replica.waits", sentence="Replica 2 waits: no node.", deployment=cast.deployment)
    for url in ("/engines/", "/engines/events/"):
        html = client.get(url).content.decode()
        assert "Replica 2 waits: no node." in html
        assert "2 times" in html


def test_events_are_narrowed_to_problems_kinds_and_words(cast: Cast, sign_in) -> None:
    event_record(kind="replica.waits", sentence="It waits.", deployment=cast.deployment)
    event_record(kind="engine.failed", sentence="It broke.", engine=cast.engine, is_problem=True)
    client = sign_in("audrey")
    for query, found in (("problems=1", "It broke."), ("kind=replica.waits", "It waits."), ("q=broke", "It broke.")):
        html = client.get(f"/engines/events/?{query}").content.decode()
        assert [sentence for sentence in ("It waits.", "It broke.") if sentence in html] == [found]
    assert "Nothing matches" in client.get("/engines/events/?q=nothing").content.decode()
