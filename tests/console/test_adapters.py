"""A department's adapters, in the console: the list, the live page, rollout, deletion, upload."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from cast import Cast
from polygraft.live import redis_client
from published_engine import publish_engine
from serving.adapters.lifecycle import version_waits
from serving.engines.names import engine_adapter_name
from serving.fleet.registry import engine_withdraw
from serving.models import AdapterVersion, BaseModel, VersionState

PAGE = "/departments/support/adapter/support-bot/"
UPLOAD = "/departments/support/adapters/upload/"

FINDING = {
    "check": "shapes",
    "severity": "error",
    "message": "A tensor does not fit.",
    "file": "adapter_model.safetensors",
    "tensor": "layers.0.q_proj.lora_A",
    "expected": "(4, 576)",
    "found": "(4, 960)",
    "advice": "Train on the 135M variant.",
}


def files() -> list[SimpleUploadedFile]:
    return [
        SimpleUploadedFile("adapter_config.json", b"{}"),
        SimpleUploadedFile("adapter_model.safetensors", b"\x08" + b"\x00" * 7 + b"{}      "),
    ]


def versions_part(html: str) -> str:
    """What of the page, or of a refreshed part, is about the versions."""
    return html[html.index('id="live"') :]


def refresh_url(html: str) -> str:
    html = versions_part(html)
    found = re.search(r'hx-get="([^"]+seen=[^"]+)"', html)
    assert found is not None
    return found[1].replace("&amp;", "&")


def test_the_list_says_what_each_name_means(sign_in) -> None:
    html = sign_in("vera").get("/departments/support/").content.decode()
    assert "support-bot" in html
    assert "version 1" in html
    assert "hx-trigger" not in html.split('id="listing"')[1].split(">")[0]


def test_the_list_refreshes_itself_while_a_version_is_on_its_way(cast: Cast, sign_in) -> None:
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.UPLOADED)
    html = sign_in("vera").get("/departments/support/").content.decode()
    assert 'hx-trigger="every 1s"' in html.split('id="listing"')[1].split(">")[0]


def test_a_page_at_rest_does_not_poll(sign_in) -> None:
    assert "hx-trigger" not in versions_part(sign_in("vera").get(PAGE).content.decode())


def test_a_version_on_its_way_is_followed_until_it_arrives(cast: Cast, sign_in) -> None:
    client = sign_in("vera")
    version = AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.UPLOADED)
    url = refresh_url(client.get(PAGE).content.decode())
    first = client.get(url).content.decode()
    assert "Waiting for a worker" in first
    unchanged = client.get(refresh_url(first))
    assert unchanged.status_code == 204
    AdapterVersion.objects.filter(pk=version.pk).update(state=VersionState.VALIDATING)
    second = client.get(refresh_url(first)).content.decode()
    assert "Checking the files" in second
    assert "support-bot version 3 is validating." in second
    AdapterVersion.objects.filter(pk=version.pk).update(state=VersionState.READY)
    last = client.get(refresh_url(second)).content.decode()
    assert "support-bot version 3 is ready." in last
    assert "hx-trigger" not in last


def test_a_version_that_waits_for_the_store_says_so(cast: Cast, sign_in) -> None:
    version = AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.VALIDATING)
    version_waits(version, words="The store of adapters is away.")
    assert "The store of adapters is away." in sign_in("vera").get(PAGE).content.decode()


def test_try_it_appears_with_the_first_ready_version(cast: Cast, sign_in) -> None:
    client = sign_in("vera")
    assert "Try it" in client.get(PAGE).content.decode()
    cast.adapter.rollout.delete()  # type: ignore[attr-defined]
    assert "Try it" not in client.get(PAGE).content.decode()


def test_a_report_is_shown_with_all_that_helps(cast: Cast, sign_in) -> None:
    report = {"ok": False, "findings": [FINDING], "omitted": {}, "facts": {"rank": 4, "alpha": 8.0, "dtypes": ["F16"]}}
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.REJECTED, report=report)
    html = sign_in("vera").get(PAGE).content.decode()
    for words in (*FINDING.values(), "1 problem<", "<dt>Rank</dt><dd>4</dd>", "<dt>Alpha</dt><dd>8</dd>"):
        assert words in html


def test_findings_of_one_check_are_one_problem(cast: Cast, sign_in) -> None:
    others = [{**FINDING, "tensor": f"layers.{n}.q_proj.lora_A"} for n in range(1, 5)]
    warning = {**FINDING, "check": "alpha", "severity": "warning", "message": "A loud adapter."}
    report = {"findings": [FINDING, *others, warning], "omitted": {"shapes": 20}}
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.REJECTED, report=report)
    html = sign_in("vera").get(PAGE).content.decode()
    assert html.count("A tensor does not fit.") == 1
    assert "24 more of this kind" in html
    assert "layers.4.q_proj.lora_A" in html
    assert "1 warning<" in html


def test_a_report_cannot_smuggle_markup_into_the_page(cast: Cast, sign_in) -> None:
    report = {"findings": [{**FINDING, "tensor": "<img src=x>"}]}
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.REJECTED, report=report)
    assert "<img" not in sign_in("vera").get(PAGE).content.decode()


def test_a_version_tells_how_many_engines_hold_it(cast: Cast, sign_in) -> None:
    live = cast.adapter.versions.get(number=1)
    publish_engine(cast, id="e1", resident=frozenset({engine_adapter_name(live.digest)}))
    try:
        html = sign_in("vera").get(PAGE).content.decode()
    finally:
        engine_withdraw(redis_client(), "e1")
    assert html.count("loaded on 1 engine<") == 1
    assert html.count("loaded on no engine<") == 1


def test_a_version_is_made_live_after_asking(cast: Cast, sign_in) -> None:
    client = sign_in("dan")
    assert "Make version 2 live?" in client.get(f"{PAGE}rollout/2/").content.decode()
    client.post(f"{PAGE}rollout/2/")
    cast.adapter.rollout.refresh_from_db()  # type: ignore[attr-defined]
    assert cast.adapter.weights == {2: 100}


def test_a_version_that_is_not_ready_does_not_go_live(cast: Cast, sign_in) -> None:
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.REJECTED)
    response = sign_in("dan").post(f"{PAGE}rollout/3/", follow=True)
    assert "Version 3 of support-bot is not ready." in response.content.decode()
    assert cast.adapter.weights == {1: 100}


def test_an_adapter_is_deleted_only_by_typing_its_name(cast: Cast, sign_in) -> None:
    client = sign_in("dan")
    wrong = client.post(f"{PAGE}delete/", {"confirm": "support"})
    assert wrong.status_code == 422
    assert "Type support-bot to confirm." in wrong.content.decode()
    client.post(f"{PAGE}delete/", {"confirm": "support-bot"})
    assert client.get(PAGE).status_code == 404


def test_an_adapter_may_be_called_upload(cast: Cast, sign_in) -> None:
    cast.adapter.name = "upload"
    cast.adapter.save()
    page = sign_in("vera").get("/departments/support/adapter/upload/")
    assert page.context["adapter"] == cast.adapter


def test_an_upload_makes_a_version_and_leads_to_its_page(cast: Cast, sign_in) -> None:
    response = sign_in("dan").post(
        UPLOAD, {"name": "new-bot", "base_model": "smollm2", "notes": "First try.", "files": files()}
    )
    assert response["Location"] == "/departments/support/adapter/new-bot/"
    version = AdapterVersion.objects.get(adapter__name="new-bot")
    assert (version.number, version.state, version.notes) == (1, "uploaded", "First try.")
    assert version.uploaded_by == cast.people["dan"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": "Bad Name"}, "name", "Use 1 to 64 lower-case letters"),
        ({"name": "smollm2"}, "name", "smollm2 is the name of a base model."),
        ({"base_model": "gpt-5"}, "base_model", "Select a valid choice."),
        ({"files": []}, "files", "Choose adapter_config.json and adapter_model.safetensors"),
        ({"files": [SimpleUploadedFile("a.json", b"")]}, "files", "empty"),
        ({"files": [SimpleUploadedFile("a", b"1"), SimpleUploadedFile("a", b"2")]}, "files", "Two files are called a."),
    ],
)
def test_a_wrong_upload_is_refused_beside_its_field(change: dict[str, object], field: str, words: str, sign_in) -> None:
    body = {"name": "new-bot", "base_model": "smollm2", "files": files(), **change}
    answer = sign_in("dan").post(UPLOAD, body)
    assert answer.status_code == 422
    assert words in answer.context["form"].errors[field][0]
    assert words in answer.content.decode()
    assert not AdapterVersion.objects.filter(adapter__name="new-bot").exists()


def test_a_new_version_keeps_the_name_and_the_base_model(cast: Cast, sign_in) -> None:
    BaseModel.objects.create(name="other", gguf_path="/x")
    html = sign_in("dan").get(f"{UPLOAD}?name=support-bot").content.decode()
    assert '<input type="hidden" name="name" value="support-bot">' in html
    assert re.search(r'value="other"[^>]* disabled', html)
    client: Client = sign_in("dan")
    client.post(UPLOAD, {"name": "support-bot", "base_model": "smollm2", "files": files()})
    assert cast.adapter.versions.count() == 3


@pytest.mark.parametrize("page", [UPLOAD, "/departments/support/adapters/import/"])
def test_of_several_base_models_none_is_chosen_beforehand(page: str, cast: Cast, sign_in) -> None:
    client = sign_in("dan")
    assert "Choose…" not in client.get(page).content.decode()
    BaseModel.objects.create(name="another", gguf_path="/x")
    assert '<option value="">Choose…</option>' in client.get(page).content.decode().replace(" selected", "")


def test_a_model_that_takes_no_adapters_is_not_offered(cast: Cast, sign_in) -> None:
    BaseModel.objects.create(name="embedder", gguf_path="/x", takes_adapters=False)
    client = sign_in("dan")
    assert "embedder" not in client.get(UPLOAD).content.decode()
    assert client.post(UPLOAD, {"name": "new-bot", "base_model": "embedder", "files": files()}).status_code == 422


def test_only_granted_base_models_are_offered(cast: Cast, sign_in) -> None:
    secret = BaseModel.objects.create(name="secret", gguf_path="/x", open_to_all=False)
    secret.departments.add(cast.legal)
    client = sign_in("dan")
    assert 'value="secret"' not in client.get(UPLOAD).content.decode()
    body = {"name": "new-bot", "base_model": "secret", "files": files()}
    assert client.post(UPLOAD, body).status_code == 422
