"""The console's pages of comparisons."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from cast import Cast
from serving.models import AdapterVersion, Comparison, ComparisonAnswer, ComparisonPrompt
from tenants.models import AuditEvent

URL = "/departments/support/adapter/support-bot/comparisons/"
WISH: dict[str, Any] = {"candidates": ["support-bot:1", "support-bot:2"], "temperature": 0, "max_tokens": 16}


@pytest.fixture
def compared(cast: Cast) -> Comparison:
    """A finished comparison in which version 2 passes ten prompts and version 1 none."""
    comparison = Comparison.objects.create(
        adapter=cast.adapter,
        name="compared",
        candidates=["support-bot:1", "support-bot:2"],
        sampling={"temperature": 0, "max_tokens": 16},
        prompt_count=10,
        state="finished",
    )
    for number in range(1, 11):
        prompt = ComparisonPrompt.objects.create(
            comparison=comparison,
            number=number,
            request={"prompt": "p"},
            asked=f"<b>p{number}</b>",
            expect={"regex": "x"},
        )
        for place, (text, passed) in enumerate([("the red fox", False), ("the blue fox", True)]):
            ComparisonAnswer.objects.create(
                prompt=prompt, candidate=place, text=text, passed=passed, latency_ms=1500.0, completion_tokens=3
            )
    return comparison


def page(client: Any, comparison: Comparison, query: str = "") -> str:
    return str(client.get(f"{URL}{comparison.pk}/{query}").content.decode())


def test_an_empty_list_says_what_to_do(cast: Cast, sign_in) -> None:
    cast.comparison.delete()
    html = sign_in("dan").get(URL).content.decode()
    assert "No comparison yet" in html
    assert "Bring a file of prompts" in html


def test_a_list_is_searched(cast: Cast, sign_in, compared: Comparison) -> None:
    html = sign_in("vera").get(f"{URL}?q=compar").content.decode()
    assert "compared" in html
    assert "greetings" not in html


def test_a_comparison_begins_from_a_file_and_shows_its_progress(sign_in) -> None:
    client = sign_in("dan")
    file = SimpleUploadedFile("smoke.jsonl", b'{"prompt": "Hi"}\n')
    response = client.post(f"{URL}new/", WISH | {"file": file})
    assert response.status_code == 302
    html = client.get(response["Location"]).content.decode()
    assert "0 of 2 answers" in html
    assert "smoke.jsonl" in html
    assert 'hx-trigger="every 2s"' in html


def test_every_bad_line_shows_beside_the_field(sign_in) -> None:
    response = sign_in("dan").post(f"{URL}new/", WISH | {"prompts": '{"prompt": "Hi"}\nnonsense\n{}'})
    assert response.status_code == 422
    html = response.content.decode()
    assert "<li>Line 2: It is not JSON" in html
    assert "<li>Line 3: It needs either" in html
    assert "nonsense</textarea>" in html or "nonsense\n{}</textarea>" in html, "what was typed is kept"


def test_without_prompts_it_says_so(sign_in) -> None:
    assert "Choose a file, or paste the prompts below." in sign_in("dan").post(f"{URL}new/", WISH).content.decode()


def test_one_version_without_a_base_model_leaves_nothing_to_compare(cast: Cast, sign_in) -> None:
    AdapterVersion.objects.filter(number=2).update(state="archived")
    cast.base_model.open_to_all = False
    cast.base_model.save()
    assert "There is nothing to compare yet" in sign_in("dan").get(f"{URL}new/").content.decode()


def test_answers_stand_side_by_side_with_their_differences_marked(sign_in, compared: Comparison) -> None:
    html = page(sign_in("vera"), compared)
    assert "the <mark>red </mark>fox" in html
    assert "the <mark>blue </mark>fox" in html
    assert "&lt;b&gt;p1&lt;/b&gt;" in html
    assert "1.5 s" in html


def test_the_better_one_can_be_promoted_by_who_manages_adapters(cast: Cast, sign_in, compared: Comparison) -> None:
    html = page(sign_in("dan"), compared)
    assert "support-bot:2 is better." in html
    assert "Promote the better one" in html
    assert "/departments/support/adapter/support-bot/rollout/2/" in html
    assert "Promote" not in page(sign_in("vera"), compared)
    cast.adapter.rollout.weights = {"2": 100}
    cast.adapter.rollout.save()
    assert "Promote" not in page(sign_in("dan"), compared), "it is live already"


@pytest.mark.parametrize("state", ["running", "cancelled", "failed"])
def test_nothing_is_promoted_by_half_a_comparison(sign_in, compared: Comparison, state: str) -> None:
    Comparison.objects.filter(pk=compared.pk).update(state=state)
    assert "Promote" not in page(sign_in("dan"), compared)


def test_results_are_narrowed_and_an_empty_result_leads_back(sign_in, compared: Comparison) -> None:
    client = sign_in("dan")
    assert "10 prompts" in page(client, compared, "?show=differing")
    ComparisonAnswer.objects.update(text="the same")
    assert "No prompt is like this" in page(client, compared, "?show=differing")
    assert "10 prompts" in page(client, compared, "?show=failing")
    assert "1 prompt" in page(client, compared, "?q=p10")


def test_what_went_wrong_is_told(sign_in, compared: Comparison) -> None:
    Comparison.objects.filter(pk=compared.pk).update(state="failed", problem="dan may not use the models any more.")
    assert "dan may not use the models any more." in page(sign_in("dan"), compared)


def test_the_page_asks_the_database_as_often_for_many_prompts(
    sign_in, compared: Comparison, django_assert_max_num_queries
) -> None:
    client = sign_in("dan")
    with django_assert_max_num_queries(16):
        page(client, compared)


def test_a_rollout_that_the_policy_refuses_says_so_beforehand_and_lets_only_an_admin_through(
    cast: Cast, sign_in
) -> None:
    policy = {"required": "on", "proof": "not_worse", "prompts": 5, "pass_rate": 90}
    assert sign_in("olga").post("/departments/support/comparison-policy/", policy).status_code == 302
    url = "/departments/support/adapter/support-bot/rollout/2/"
    html = sign_in("dan").get(url).content.decode()
    assert "support-bot:2 needs a finished comparison" in html
    assert "despite_gates" not in html
    refused = sign_in("dan").post(url, {"despite_gates": "on"})
    assert refused.status_code == 422
    assert "support-bot:2 needs a finished comparison" in refused.content.decode()
    assert "despite_gates" in sign_in("ada").get(url).content.decode()
    assert sign_in("ada").post(url, {}).status_code == 422
    assert sign_in("ada").post(url, {"despite_gates": "on"}).status_code == 302
    assert AuditEvent.objects.get(action="rollout.set").details["despite"]
