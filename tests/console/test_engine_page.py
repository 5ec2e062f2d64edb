"""The console's pages of one engine and of one node."""

import re

from cast import Cast, engine_put
from polygraft.live import redis_client
from serving.events import event_record
from serving.fleet.engine_logs import engine_log_put
from serving.fleet.registry import NODES_KEY, NodeEntry, node_publish
from serving.models import Node


def test_an_engines_log_is_followed_while_it_lives(cast: Cast, sign_in) -> None:
    engine_put(cast.engine, "starting")
    client = sign_in("audrey")
    url = f"/engines/engine/{cast.engine.pk}/"
    engine_log_put(redis_client(), str(cast.engine.pk), "Loading weights <1/2>")
    html = client.get(url).content.decode()
    assert "Loading weights &lt;1/2&gt;" in html
    found = re.search(r'hx-get="([^"]+seen=[^"]+)"', html)
    assert found is not None
    assert client.get(found[1]).status_code == 204
    engine_log_put(redis_client(), str(cast.engine.pk), "Loading weights <1/2>\nServing smollm2")
    news = client.get(found[1]).content.decode()
    assert "Serving smollm2" in news
    assert "<html" not in news


def test_a_failed_engine_says_of_what_it_failed_and_how_to_start_it_again(cast: Cast, sign_in) -> None:
    engine_put(cast.engine, "failed", failure="out_of_memory", error="It ended with exit code 1.\nCUDA out of memory")
    event_record(kind="engine.failed", sentence="It has failed.", engine=cast.engine, is_problem=True)
    url = f"/engines/engine/{cast.engine.pk}/"
    html = sign_in("ada").get(url).content.decode()
    assert "It ran out of memory." in html
    assert "CUDA out of memory" in html
    assert "It has failed." in html
    assert f"/engines/deployments/{cast.deployment.pk}/start-again/" in html
    assert "hx-trigger" not in html  # nothing moves any more
    assert "start-again" not in sign_in("audrey").get(url).content.decode()


def test_an_engine_that_is_not_there_is_not_found(cast: Cast, sign_in) -> None:
    assert sign_in("ada").get("/engines/engine/00000000-0000-0000-0000-000000000000/").status_code == 404
    assert sign_in("ada").get("/engines/node/nowhere/").status_code == 404


def test_a_node_shows_its_machine_and_its_gpus(cast: Cast, sign_in) -> None:
    gpu = {"index": 0, "name": "NVIDIA H100", "memory_bytes": 80 * 1024**3, "memory_used_bytes": 0}
    facts = {
        "cpus": 16,
        "memory_bytes": 1024**4,
        "memory_available_bytes": 1024**3,
        "vllm": "0.32.0",
        "vllm_start": "vllm serve",
    }
    gpus = [{**gpu, "use_percent": 37, "temperature_celsius": None}]
    Node.objects.filter(name="node-1").update(facts={**facts, "gpus": gpus})
    client = sign_in("audrey")
    redis_client().delete(NODES_KEY)
    assert "<code>vllm serve</code>" in client.get("/engines/node/node-1/").content.decode()
    assert ">lost</span>" in client.get("/engines/node/node-1/").content.decode()
    node_publish(redis_client(), NodeEntry(name="node-1", address="127.0.0.1", facts={}))
    for url in ("/engines/node/node-1/", "/engines/"):
        html = client.get(url).content.decode()
        assert ">live</span>" in html
        assert "NVIDIA H100" in html
        assert "0.32.0" in html
    redis_client().delete(NODES_KEY)
