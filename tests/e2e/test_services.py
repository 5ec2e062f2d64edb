"""Parts run as services: engines and their streams outlive the worker, and a silent node is noticed in time."""

import signal
import time

import openai
import pytest

from deadline import quickest, wait_until
from long_stream import LongStream
from processes import family, lives
from running_services import Services

pytestmark = pytest.mark.e2e


def answers(services: Services) -> bool:
    try:
        services.client(services.key("support")).completions.create(model="support-bot", prompt="Hi", max_tokens=1)
    except openai.InternalServerError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stream_goes_on_while_the_worker_is_restarted(services: Services, number: signal.Signals) -> None:
    before, taken_over = services.engine(services.base_model), services.events("engine.taken_over")
    stream = LongStream(services.client(services.key("support")), "support-bot", tokens=750)
    services.end_worker(number)
    services.start_worker()
    wait_until(lambda: services.events("engine.taken_over") > taken_over, seconds=60, what="the engine is taken over")
    stream.join()
    assert stream.is_whole()
    after = services.engine(services.base_model)
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])
    assert answers(services)


def test_a_stream_goes_on_while_redis_is_restarted_without_its_memory(services: Services) -> None:
    before, lost = services.engine(services.base_model), services.events("engine.lost")
    stream = LongStream(services.client(services.key("support")), "support-bot", tokens=750)
    services.restart_redis()
    assert stream.flows()
    wait_until(lambda: answers(services), what="others are answered")
    stream.join()
    assert stream.is_whole()
    wait_until(lambda: node_state(services) == "alive", what="the node is known again")
    assert services.engine(services.base_model)["pid"] == before["pid"]
    assert services.events("engine.lost") == lost


def test_a_stream_goes_on_while_everything_but_its_engine_is_restarted(services: Services) -> None:
    before, taken_over = services.engine(services.base_model), services.events("engine.taken_over")
    old_web = family(services.process.pid) - {services.process.pid}
    stream = LongStream(services.client(services.key("support")), "support-bot", tokens=750)
    services.process.send_signal(signal.SIGHUP)  # a reload: new processes take new requests
    services.end_worker(signal.SIGKILL)  # and the reconciler's clock in it
    services.restart_redis()
    services.start_worker()
    assert stream.flows()
    wait_until(lambda: services.events("engine.taken_over") > taken_over, seconds=60, what="the engine is taken over")
    wait_until(lambda: answers(services), what="others are answered")
    assert services.engine(services.base_model)["pid"] == before["pid"]
    stream.join()
    assert stream.is_whole()
    wait_until(lambda: not any(map(lives, old_web)), what="the old web processes have ended")
    assert answers(services)


def test_a_silent_node_is_lost_within_15_seconds_and_so_are_its_engines(services: Services) -> None:
    before = services.engine(services.base_model)

    def until_it_is_lost() -> float:
        services.worker.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        wait_until(lambda: not answers(services), what="its engine is out of routing")
        wait_until(lambda: node_state(services) == "lost", what="the node is lost")
        took = time.monotonic() - began
        services.worker.send_signal(signal.SIGCONT)
        wait_until(lambda: answers(services), what="it is back")
        wait_until(lambda: node_state(services) == "alive", what="the node is known again")
        return took

    assert quickest(until_it_is_lost, enough=15) < 15
    assert services.engine(services.base_model)["pid"] == before["pid"]


def node_state(services: Services) -> str:
    (node,) = services.api("GET", "nodes").json()["results"]
    return str(node["state"])


def test_a_second_worker_of_the_node_leaves_its_engines_alone(services: Services) -> None:
    before, taken_over = services.engine(services.base_model), services.events("engine.taken_over")
    first = services.worker
    services.start_worker()
    second = services.worker
    try:
        waits = "another worker of this node owns its engines"
        wait_until(lambda: waits in (services.home / "services.log").read_text(), seconds=60, what="the second waits")
        assert services.events("engine.taken_over") == taken_over
        assert services.engine(services.base_model)["pid"] == before["pid"]
    finally:
        services.worker = first
        services.end_worker(signal.SIGKILL)
        services.worker = second
    wait_until(lambda: services.events("engine.taken_over") > taken_over, what="the second takes over")
    assert services.engine(services.base_model)["pid"] == before["pid"]
    assert answers(services)
