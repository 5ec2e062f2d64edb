"""A declared base model is compared by name, with what people and tools do to names in mind."""

import pytest

from serving.adapters.examination.declared_base import Match, compare

KNOWN = ("SmolLM2-135M-Instruct", "Smollm2 135M 8k Lc100K Mix1 Ep2")
LLAMA = ("Meta-Llama-3.1-8B-Instruct", "llama-prod")


@pytest.mark.parametrize(
    ("declared", "known", "match"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", KNOWN, Match.SAME),
        ("huggingfacetb/smollm2-135m-instruct/", KNOWN, Match.SAME),
        ("unsloth/SmolLM2-135M-Instruct-bnb-4bit", KNOWN, Match.SAME),
        ("bartowski/SmolLM2-135M-Instruct-GGUF", KNOWN, Match.SAME),
        ("/home/me/SmolLM2-135M-Instruct", KNOWN, Match.SAME),
        ("Smollm2 135M 8k Lc100K Mix1 Ep2", KNOWN, Match.SAME),
        ("HuggingFaceTB/SmolLM2-135M", KNOWN, Match.RELATED),
        ("HuggingFaceTB/SmolLM2-360M", KNOWN, Match.OTHER),
        ("HuggingFaceTB/SmolLM-135M-Instruct", KNOWN, Match.OTHER),
        ("meta-llama/Llama-3.2-1B", KNOWN, Match.OTHER),
        ("meta-llama/Llama-3.1-8B-Instruct", LLAMA, Match.RELATED),
        ("meta-llama/Llama-3.1-70B-Instruct", LLAMA, Match.OTHER),
        ("llama-prod", LLAMA, Match.SAME),
        ("HuggingFaceTB/SmolLM2-360M-Instruct", (*KNOWN, "smollm2"), Match.OTHER),
        ("HuggingFaceTB/SmolLM2", (*KNOWN, "smollm2"), Match.SAME),
        ("/data/models/base", KNOWN, Match.UNKNOWN),
        ("~/models/llama-3-8b", KNOWN, Match.UNKNOWN),
        (r"D:\models\llama", KNOWN, Match.UNKNOWN),
        ("checkpoint", KNOWN, Match.UNKNOWN),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", (), Match.UNKNOWN),
        ("  ", KNOWN, Match.UNKNOWN),
        (None, KNOWN, Match.UNKNOWN),
        (["SmolLM2"], KNOWN, Match.UNKNOWN),
        ("///", KNOWN, Match.UNKNOWN),
    ],
)
def test_a_declared_name_is_judged(declared: object, known: tuple[str, ...], match: Match) -> None:
    assert compare(declared, known) is match
