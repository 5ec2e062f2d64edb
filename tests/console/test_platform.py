"""Engines, deployments, base models, usage and the overview, in the console."""

import re
import uuid
from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from cast import Cast, engine_put
from serving.console.period import period
from serving.models import BaseModel, Deployment, UsageRecord


def record(cast: Cast, *, hours_ago: float, outcome: str = "finished", model: str = "support-bot:1") -> None:
    UsageRecord.objects.create(
        request_id=uuid.uuid4().hex,
        at=timezone.now() - timedelta(hours=hours_ago),
        department=cast.support,
        model=model,
        adapter_version=cast.adapter.versions.get(number=1),
        outcome=outcome,
        status=200,
        prompt_tokens=10,
        completion_tokens=5,
        first_token_ms=100,
        duration_ms=300,
    )


def test_an_engine_that_its_node_no_longer_speaks_of_is_gone(cast: Cast, sign_in) -> None:
    engine_put(cast.engine, "ready")
    rows = sign_in("ada").get("/engines/").context["live"].html
    assert ">gone</span>" in rows


def test_a_failed_engine_says_why(cast: Cast, sign_in) -> None:
    engine_put(cast.engine, "failed", ended_at=timezone.now(), error="It ended with exit code 1.\nout of memory")
    html = sign_in("ada").get("/engines/").content.decode()
    assert "It ended with exit code 1." in html
    assert "out of memory" in html


def test_ended_engines_are_a_click_away(cast: Cast, sign_in) -> None:
    client = sign_in("ada")
    short = cast.engine.pk.hex[:8]
    assert short not in client.get("/engines/").content.decode()
    assert short in client.get("/engines/?show=all").content.decode()


def test_the_page_of_engines_refreshes_itself_only_with_news(cast: Cast, sign_in) -> None:
    client = sign_in("ada")
    found = re.search(r'hx-get="([^"]+seen=[^"]+)"', client.get("/engines/").content.decode())
    assert found is not None
    assert client.get(found[1]).status_code == 204
    engine_put(cast.engine, "starting")
    news = client.get(found[1])
    assert news.status_code == 200
    assert "<html" not in news.content.decode()
    assert ">starting</span>" in news.content.decode()


def test_without_redis_the_page_says_so(cast: Cast, sign_in, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(client: redis.Redis) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr("serving.console.engine_rows.living_engines", away)
    engine_put(cast.engine, "ready")
    client = sign_in("ada")
    for url in ("/", "/engines/"):
        html = client.get(url).content.decode()
        assert "Redis cannot be reached" in html
        assert ">gone</span>" not in html


def test_an_admin_deploys_with_options(cast: Cast, sign_in) -> None:
    sign_in("ada").post(
        "/engines/deployments/new/",
        {"base_model": "smollm2", "engine_kind": "llamacpp", "replicas": 2, "option_ctx_size": 2048},
    )
    deployment = Deployment.objects.exclude(pk=cast.deployment.pk).get()
    assert (deployment.replicas, deployment.options) == (2, {"ctx_size": 2048})


def test_a_wrong_option_is_refused_beside_its_field(cast: Cast, sign_in) -> None:
    body = {"base_model": "smollm2", "engine_kind": "llamacpp", "replicas": 1, "option_ctx_size": 1}
    response = sign_in("ada").post("/engines/deployments/new/", body)
    assert response.status_code == 422
    assert "greater than or equal to 256" in response.content.decode()


def test_a_base_model_without_the_files_of_an_engine_is_not_deployed_on_it(cast: Cast, sign_in) -> None:
    BaseModel.objects.create(name="vllm-only", hf_path="/models/x")
    body = {"base_model": "vllm-only", "engine_kind": "llamacpp", "replicas": 1}
    response = sign_in("ada").post("/engines/deployments/new/", body)
    assert "llama.cpp needs a GGUF file" in response.content.decode()
    sign_in("ada").post("/engines/deployments/new/", {**body, "engine_kind": "vllm", "option_max_loras": 2})
    deployment = Deployment.objects.get(base_model__name="vllm-only")
    assert (deployment.engine_kind, deployment.options) == ("vllm", {"max_loras": 2})


def test_an_option_of_another_engine_is_refused(cast: Cast, sign_in) -> None:
    body = {"base_model": "smollm2", "engine_kind": "llamacpp", "replicas": 1, "option_max_loras": 2}
    response = sign_in("ada").post("/engines/deployments/new/", body)
    assert "max_loras is no option of llamacpp" in response.content.decode()


def test_a_deployment_is_scaled(cast: Cast, sign_in) -> None:
    sign_in("ada").post(f"/engines/deployments/{cast.deployment.pk}/replicas/", {"replicas": 3})
    cast.deployment.refresh_from_db()
    assert cast.deployment.replicas == 3


def test_a_deployment_with_living_engines_is_not_deleted(cast: Cast, sign_in) -> None:
    engine_put(cast.engine, "ready")
    client = sign_in("ada")
    response = client.post(f"/engines/deployments/{cast.deployment.pk}/delete/")
    assert "Scale it to 0" in response.content.decode()
    engine_put(cast.engine, "stopped")
    client.post(f"/engines/deployments/{cast.deployment.pk}/delete/")
    assert not Deployment.objects.exists()


def test_a_base_model_is_added_for_chosen_departments(cast: Cast, sign_in) -> None:
    body = {"name": "new", "gguf_path": cast.base_model.gguf_path, "departments": ["legal"]}
    sign_in("ada").post("/base-models/new/", body)
    model = BaseModel.objects.get(name="new")
    assert (model.open_to_all, list(model.departments.all())) == (False, [cast.legal])


def test_a_base_model_takes_adapters_only_if_so_said(cast: Cast, sign_in) -> None:
    client = sign_in("ada")
    for name, said in (("with", {"takes_adapters": "on"}), ("without", {})):
        client.post("/base-models/new/", {"name": name, "gguf_path": cast.base_model.gguf_path, **said})
        assert BaseModel.objects.get(name=name).takes_adapters is bool(said)
    assert "takes none" in client.get("/base-models/").content.decode()
    Deployment.objects.create(base_model=BaseModel.objects.get(name="without"), engine_kind="llamacpp")
    assert re.search(r"<td>none", client.get("/engines/").content.decode())


def test_a_base_model_without_files_is_refused_beside_the_field(sign_in) -> None:
    client = sign_in("ada")
    response = client.post("/base-models/new/", {"name": "new", "gguf_path": "/nowhere.gguf"})
    assert response.status_code == 422
    assert re.search(r'class="field-error"[^>]*>[^<]*/nowhere.gguf', response.content.decode())


def test_members_see_neither_paths_nor_foreign_base_models(cast: Cast, sign_in) -> None:
    foreign = BaseModel.objects.create(name="foreign-model", gguf_path="/x", open_to_all=False)
    foreign.departments.add(cast.legal)
    html = sign_in("vera").get("/base-models/").content.decode()
    assert "smollm2" in html
    assert "foreign-model" not in html
    assert cast.base_model.gguf_path not in html


def test_members_count_only_their_own_adapters(cast: Cast, sign_in) -> None:
    assert sign_in("vera").get("/base-models/").context["listing"].page[0].adapter_count == 1
    # Of the two that there are, each sees the own one.
    assert sign_in("lena").get("/base-models/").context["listing"].page[0].adapter_count == 1


def test_usage_is_summed_by_day_and_model(cast: Cast, sign_in) -> None:
    for _ in range(3):
        record(cast, hours_ago=0)
    record(cast, hours_ago=0, outcome="failed")
    record(cast, hours_ago=0, model="smollm2")
    record(cast, hours_ago=24 * 20)
    page = sign_in("vera").get("/departments/support/usage/")
    assert [(row["asked"], row["requests"], row["failed"]) for row in page.context["page"]] == [
        ("support-bot:1", 4, 1),
        ("smollm2", 1, 0),
    ]
    assert page.context["period"].requests == 5
    month = sign_in("vera").get("/departments/support/usage/?period=30d")
    assert month.context["period"].requests == 6


def test_what_asks_no_model_is_told_by_its_endpoint_and_costs_show_once_there_are_any(cast: Cast, sign_in) -> None:
    record(cast, hours_ago=0)
    record(cast, hours_ago=0, model="")
    UsageRecord.objects.filter(model="").update(endpoint="/v1/feedback")
    free = sign_in("vera").get("/departments/support/usage/").content.decode()
    assert '<td class="mono">/v1/feedback</td>' in free
    assert "Cost" not in free
    UsageRecord.objects.exclude(model="").update(cost="0.000125")
    assert "0.000125" in sign_in("vera").get("/departments/support/usage/").content.decode()


def test_a_period_has_a_bar_for_each_step_and_counts_every_request_once(cast: Cast) -> None:
    for hours in (0, 0, 1, 5, 30):
        record(cast, hours_ago=hours)
    day = period(UsageRecord.objects.all(), hours=24)
    assert len(day.bars) == 24
    assert day.requests == 4
    assert day.bars[-1].label.endswith("2 requests")
    assert sum(int(bar.label.split(": ")[1].split()[0]) for bar in day.bars) == 4
    assert (day.prompt_tokens, day.completion_tokens, day.first_token_ms) == (40, 20, 100)


def test_members_see_the_usage_of_their_departments_only(cast: Cast, sign_in) -> None:
    record(cast, hours_ago=0)
    assert sign_in("vera").get("/").context["period"].requests == 1
    assert sign_in("lena").get("/").context["period"].requests == 0
    assert sign_in("ada").get("/").context["period"].requests == 1


def test_the_overview_leads_a_new_admin_to_the_first_answer(cast: Cast, sign_in) -> None:
    client = sign_in("ada")
    assert "To the first answer" not in client.get("/").content.decode()
    cast.support.delete()
    cast.legal.delete()
    assert "To the first answer" in client.get("/").content.decode()


def test_the_overview_gives_members_a_program_that_works(sign_in) -> None:
    html = sign_in("vera").get("/").content.decode()
    assert "Quick start" in html
    assert "&quot;model&quot;: &quot;support-bot&quot;" in html
