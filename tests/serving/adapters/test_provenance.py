"""Where an adapter comes from, as its files tell, and how versions relate to each other."""

from pathlib import Path

import pytest
from rest_framework.test import APIClient

from adapter_factory import small_adapter, zipped
from cast import Cast
from serving.adapters.examination.provenance import provenance_facts
from serving.adapters.lineage import differences, lineages
from serving.adapters.reading.archive import unpack
from serving.adapters.reading.limits import Limits
from serving.models import AdapterVersion, VersionState

CARD = b"""---
license: apache-2.0
datasets:
- support/tickets-2026
- [nested, is left out]
author: Dan
---
# A card
"""


def card_facts(card: bytes) -> dict[str, object]:
    return {name: value for name, value in provenance_facts({}, {"README.md": card}).items() if name != "config"}


def test_a_card_tells_datasets_author_and_license() -> None:
    assert card_facts(CARD) == {"license": ["apache-2.0"], "datasets": ["support/tickets-2026"], "authors": ["Dan"]}


@pytest.mark.parametrize(
    "card",
    [
        b"",
        b"# No metadata",
        b"---\nlicense: mit",
        b"---\n- a list\n---\n",
        b"---\n{[a]: b}\n---\n",
        b"---\nlicense: !!bool foo\n: : :\n---\n",
        b"---\nlicense: {a: b}\ndatasets: [[x]]\n---\n",
        b"---\n" + b"[" * 5000 + b"\n---\n",
        b"---\n" + b"license: mit\n" * 5000 + b"\n---\n",
        b"\xff\xfe\x00",
    ],
)
def test_a_card_that_makes_no_sense_tells_nothing(card: bytes) -> None:
    assert card_facts(card) == {}


def test_odd_text_of_a_card_is_cut_and_made_printable() -> None:
    (name,) = card_facts(b'---\nauthor: "' + b"x\\u202e" * 500 + b'"\n---\n')["authors"]  # type: ignore[misc,attr-defined]
    assert len(name) <= 101
    assert "\u202e" not in name


def test_the_whole_configuration_is_kept_in_short() -> None:
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    facts = provenance_facts(
        {"r": 4, "revision": "abc", "task_type": "CAUSAL_LM", "init": "x" * 1000, "deep": deep}, {}
    )
    assert (facts["base_revision"], facts["task"]) == ("abc", "CAUSAL_LM")
    assert facts["config"]["r"] == "4"
    assert max(map(len, facts["config"].values())) <= 301


@pytest.mark.parametrize("packed", [False, True])
def test_the_card_beside_the_adapter_is_read_and_no_other(tmp_path: Path, packed: bool) -> None:
    folder = small_adapter().write(tmp_path / "a")
    (folder / "README.md").write_bytes(CARD)
    upload = tmp_path / "upload"
    if packed:
        upload.mkdir()
        zipped(folder, upload / "a.zip", top="mine")
    taken = unpack(upload if packed else folder, tmp_path / "out", Limits())
    assert taken.companions == {"README.md": CARD}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_a_card_that_is_far_too_long_is_left_out(tmp_path: Path) -> None:
    folder = small_adapter().write(tmp_path / "a")
    (folder / "README.md").write_bytes(CARD + b"x" * 1024 * 1024)
    assert unpack(folder, tmp_path / "out", Limits()).companions == {}


def facts(**changes: object) -> dict[str, object]:
    config = {"r": "8", "lora_dropout": "0.1"}
    return {
        "facts": {"rank": 8, "alpha": 16.0, "config": config | {k: v for k, v in changes.items() if k in config}}
        | {k: v for k, v in changes.items() if k not in config}
    }


@pytest.fixture
def versions(cast: Cast) -> list[AdapterVersion]:
    """Of support-bot: 1 and 2 of the cast, 3 with 1's bytes, 4 with another alpha and dropout."""
    AdapterVersion.objects.filter(adapter=cast.adapter).update(report=facts())
    digests = [
        (3, cast.adapter.versions.get(number=1).digest, facts()),
        (4, "cd" * 32, facts(alpha=32.0, lora_dropout="0")),
    ]
    for number, digest, report in digests:
        AdapterVersion.objects.create(
            adapter=cast.adapter, number=number, state=VersionState.READY, digest=digest, report=report
        )
    return list(cast.adapter.versions.order_by("number"))


def test_lineage_says_which_versions_are_the_same_and_what_differs(cast: Cast, versions: list[AdapterVersion]) -> None:
    related = lineages(cast.adapter, versions)
    assert [related[number].sentence for number in (1, 2, 3, 4)] == [
        "The same bytes as version 3.",
        "Trained as version 1 was; the weights differ.",
        "The same bytes as version 1.",
        "Differs from version 3 in alpha, lora_dropout.",
    ]
    assert lineages(cast.adapter, versions[-1:]) == {4: related[4]}


def test_lineage_tells_nothing_of_other_adapters(cast: Cast, versions: list[AdapterVersion]) -> None:
    clauses = cast.legal.adapters.get(name="clauses")
    same = AdapterVersion.objects.create(adapter=clauses, number=1, digest=versions[0].digest)
    assert lineages(clauses, [same])[1].sentence == ""
    assert lineages(cast.adapter, versions)[1].same_as == (3,)


def test_differences_mark_what_differs(versions: list[AdapterVersion]) -> None:
    rows = {row.name: row for row in differences(versions[2], versions[3])}
    assert rows["Alpha"].values == ("16", "32")
    assert rows["Alpha"].differs
    assert not rows["Rank"].differs
    assert rows["Digest"].differs
    assert rows["Requests"].values == ("0", "0")


def test_rest_and_console_show_two_versions_side_by_side(cast: Cast, versions: list[AdapterVersion]) -> None:
    client = APIClient()
    client.force_authenticate(cast.people["vera"])
    path = "/api/v1/departments/support/adapters/support-bot/differences"
    rows = client.get(f"{path}?first=3&second=4").json()
    assert {"group": "Training", "name": "Alpha", "values": ["16", "32"], "differs": True} in rows
    assert client.get(f"{path}?first=3&second=9").status_code == 404
    assert client.get(f"{path}?first=3").status_code == 400
    client.force_login(cast.people["vera"])  # type: ignore[arg-type]  # a person
    page = "/departments/support/adapter/support-bot/differences/?first=3&second=4"
    html = client.get(page).content.decode()
    assert html.count('class="is-different"') == 3  # alpha, dropout, digest
    short = client.get(f"{page}&show=differing").content.decode()
    assert short.count('class="is-different"') == 3
    assert '<th scope="row">Rank</th>' in html
    assert '<th scope="row">Rank</th>' not in short
