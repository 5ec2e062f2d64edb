"""Every mistake that an adapter can come with is found, explained, and all are told at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter_factory import DEMO_ADAPTERS, SmallAdapter, small_adapter, tensor_name
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.report import SHOWN_PER_CHECK, Finding, Report
from serving.adapters.examination.validate import validate
from serving.adapters.reading.limits import Limits

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
Q_A, Q_B = tensor_name("self_attn.q_proj", "A"), tensor_name("self_attn.q_proj", "B")
Examine = Callable[..., Report]


@pytest.fixture
def adapter() -> SmallAdapter:
    return small_adapter()


@pytest.fixture
def examine(base: BaseSpec, tmp_path: Path) -> Examine:
    def report_on(adapter: SmallAdapter, aliases: tuple[str, ...] = (), **limits: int) -> Report:
        return validate(adapter.write(tmp_path / "adapter"), base, Limits(**limits), aliases)

    return report_on


def only_finding(report: Report, check: str, severity: str = "error") -> Finding:
    """The report's one finding, which is complete and fit for JSON."""
    assert [(finding.check, finding.severity) for finding in report.findings] == [(check, severity)]
    assert report.ok == (severity == "warning")
    finding = report.findings[0]
    assert finding.message
    assert finding.advice
    json.dumps(report.as_json())
    return finding


# What is accepted


@pytest.mark.parametrize("folder", DEMO_ADAPTERS, ids=lambda path: path.name)
def test_the_demo_adapters_are_accepted_without_a_remark(folder: Path, base: BaseSpec, limits: Limits) -> None:
    report = validate(folder, base, limits)
    assert report.ok
    assert report.findings == []


def test_the_facts_of_an_adapter_are_told(adapter: SmallAdapter, examine: Examine) -> None:
    report = examine(adapter)
    facts = report.facts
    assert report.ok
    assert (facts["rank"], facts["engine_rank"], facts["alpha"]) == (4, 8, 8.0)
    assert facts["target_modules"] == ["q_proj", "v_proj"]
    assert (facts["tensors"], facts["dtypes"]) == (120, ["F16"])
    assert sorted(facts["files"]) == [CONFIG, WEIGHTS]
    assert len(facts["digest"]) == 64


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_three_float_types_are_accepted(dtype: Any, examine: Examine) -> None:
    assert examine(small_adapter(dtype=dtype, modules=["mlp.down_proj"])).findings == []


def test_ranks_and_alphas_by_module_are_accepted(examine: Examine) -> None:
    adapter = small_adapter(
        ranks={"self_attn.q_proj": 2}, alpha_pattern={r"model\.layers\.\d+\.self_attn\.v_proj": 4.5}, use_rslora=True
    )
    report = examine(adapter)
    assert report.findings == []
    assert report.facts["rank"] == 4


def test_only_some_layers_may_be_adapted(examine: Examine) -> None:
    adapter = small_adapter(layers_to_transform=[0, 1])
    adapter.tensors = {
        name: values for name, values in adapter.tensors.items() if ".layers.0." in name or ".layers.1." in name
    }
    assert examine(adapter).findings == []


def test_the_rank_is_rounded_up_to_one_that_vllm_knows() -> None:
    assert [Limits().engine_rank(rank) for rank in (1, 2, 8, 9, 33, 64, 257)] == [1, 8, 8, 16, 64, 64, 320]


@pytest.mark.parametrize("rank", [0, 513])
def test_a_limit_of_rank_that_no_engine_takes_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match="engines take 1 to 512"):
        Limits(max_rank=rank)


# The files


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(
    name: str, adapter: SmallAdapter, base: BaseSpec, limits: Limits, tmp_path: Path
) -> None:
    (adapter.write(tmp_path) / name).unlink()
    assert only_finding(validate(tmp_path, base, limits), "files").file == name


def test_an_adapter_over_the_size_limit_is_refused(adapter: SmallAdapter, examine: Examine) -> None:
    assert only_finding(examine(adapter, total_bytes=1000), "size").expected == "at most 1000 bytes"


def test_a_pickle_under_the_name_of_the_weights_is_refused(
    adapter: SmallAdapter, base: BaseSpec, limits: Limits, tmp_path: Path
) -> None:
    (adapter.write(tmp_path) / WEIGHTS).write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94.")
    assert "pickle" in only_finding(validate(tmp_path, base, limits), "disguise").found


# The configuration


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2]", "null", '"LORA"', '{"r": NaN}', '{"r": 1, "r": 2}', "\ufeff{}", "[" * 100_000, "\xff"],
    ids=["empty", "open", "list", "null", "string", "nan", "repeated key", "bom", "deep", "not utf-8"],
)
def test_a_configuration_that_is_no_json_object_is_refused(
    text: str, adapter: SmallAdapter, base: BaseSpec, limits: Limits, tmp_path: Path
) -> None:
    (adapter.write(tmp_path) / CONFIG).write_bytes(text.encode("latin-1" if text == "\xff" else "utf-8"))
    assert only_finding(validate(tmp_path, base, limits), "config").file == CONFIG


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("use_dora", True),
        ("lora_bias", True),
        ("bias", "all"),
        ("bias", "lora_only"),
        ("alora_invocation_tokens", [1, 2]),
        ("layer_replication", [[0, 4], [2, 5]]),
        ("use_qalora", True),
        ("use_bdlora", {"target_modules_bd_a": ["q_proj"]}),
        ("modules_to_save", ["lm_head"]),
        ("trainable_token_indices", [5]),
        ("target_parameters", ["mlp.experts"]),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "pissa_niter_16"),
        ("init_lora_weights", "olora"),
        ("init_lora_weights", "corda"),
        ("init_lora_weights", "loftq"),
        ("init_lora_weights", "lora_ga"),
        ("init_lora_weights", ["what"]),
    ],
)
def test_an_option_that_no_engine_supports_is_refused_by_name(
    option: str, value: Any, adapter: SmallAdapter, examine: Examine
) -> None:
    adapter.config[option] = value
    finding = only_finding(examine(adapter), "unsupported-option")
    assert option in finding.expected


@pytest.mark.parametrize("value", ["IA3", "PROMPT_TUNING", None, 3, ["LORA"]])
def test_another_kind_of_adapter_is_refused(value: Any, adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config["peft_type"] = value
    only_finding(examine(adapter), "peft-type")


@pytest.mark.parametrize("value", [None, 0, -1, 4.5, "4", True, 10**400, [4]])
def test_a_rank_that_makes_no_sense_is_refused(value: Any, adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config["r"] = value
    only_finding(examine(adapter), "rank")


def test_a_rank_above_the_limit_is_refused(examine: Examine) -> None:
    finding = only_finding(examine(small_adapter(rank=9), max_rank=8), "rank")
    assert (finding.expected, finding.found) == ("r at most 8", "9")


def test_a_rank_above_the_limit_in_the_pattern_is_refused(examine: Examine) -> None:
    assert (
        "rank_pattern"
        in only_finding(examine(small_adapter(ranks={"self_attn.q_proj": 9}), max_rank=8), "rank").message
    )


@pytest.mark.parametrize("value", [None, 0, -16, "16", True, 1e300, 10**400, [16]])
def test_an_alpha_that_makes_no_sense_is_refused(value: Any, adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config["lora_alpha"] = value
    only_finding(examine(adapter), "alpha")


def test_an_infinite_alpha_is_refused(adapter: SmallAdapter, base: BaseSpec, limits: Limits, tmp_path: Path) -> None:
    config = adapter.write(tmp_path) / CONFIG
    config.write_text(config.read_text().replace('"lora_alpha": 8', '"lora_alpha": 1e999'))
    only_finding(validate(tmp_path, base, limits), "alpha")


def test_an_absurd_scale_is_refused_and_an_odd_one_remarked(examine: Examine) -> None:
    only_finding(examine(small_adapter(alpha=1e6)), "alpha")
    only_finding(examine(small_adapter(alpha=400)), "alpha", severity="warning")


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "((((x))))", "(?=x)", r"(x)\1", "[", "x{1,99999}", "x" * 301, ".*.*.*x", "(a|b)*"]
)
@pytest.mark.parametrize("option", ["rank_pattern", "alpha_pattern"])
def test_a_pattern_that_could_stall_the_matcher_is_refused(
    option: str, pattern: str, adapter: SmallAdapter, examine: Examine
) -> None:
    adapter.config[option] = {pattern: 4}
    assert option in only_finding(examine(adapter), "config").message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("target_modules", None),
        ("target_modules", []),
        ("target_modules", [1]),
        ("target_modules", {"q_proj": 1}),
        ("rank_pattern", [1]),
        ("alpha_pattern", "x"),
        ("layers_to_transform", "all"),
        ("exclude_modules", 3),
        ("use_rslora", "yes"),
    ],
)
def test_an_option_of_a_wrong_type_is_refused(option: str, value: Any, adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config[option] = value
    assert option in only_finding(examine(adapter), "config").message


def test_a_configuration_that_is_too_large_is_not_parsed(adapter: SmallAdapter, examine: Examine) -> None:
    assert only_finding(examine(adapter, config_bytes=100), "config").expected == "at most 100 bytes"


# The declared base model


@pytest.mark.parametrize("declared", ["meta-llama/Llama-3.2-1B", "HuggingFaceTB/SmolLM2-360M-Instruct", "Llama-3-8B"])
def test_an_adapter_for_another_base_model_is_refused(declared: str, adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config["base_model_name_or_path"] = declared
    finding = only_finding(examine(adapter), "declared-base")
    assert declared in finding.found
    assert finding.expected == "SmolLM2-135M-Instruct"


@pytest.mark.parametrize("declared", [None, "", "/home/me/models/base", "./base", "C:\\models\\base", "base", 7])
def test_a_base_model_that_is_not_named_is_remarked(declared: Any, adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config["base_model_name_or_path"] = declared
    only_finding(examine(adapter), "declared-base", severity="warning")


def test_an_alias_of_the_base_model_is_accepted(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config["base_model_name_or_path"] = "acme/house-model-7b"
    assert not examine(adapter).ok
    assert examine(adapter, aliases=("acme/house-model-7b",)).findings == []


# The tensors


def test_a_missing_b_is_named(adapter: SmallAdapter, examine: Examine) -> None:
    del adapter.tensors[Q_B]
    assert only_finding(examine(adapter), "pairs").tensor == Q_B


def test_a_missing_a_is_named(adapter: SmallAdapter, examine: Examine) -> None:
    del adapter.tensors[Q_A]
    assert only_finding(examine(adapter), "pairs").tensor == Q_A


def test_a_tensor_of_another_model_size_is_explained(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.tensors[Q_B] = np.ones((2048, 4))
    finding = only_finding(examine(adapter), "shape")
    assert finding.message == (
        f"{Q_B} has shape (2048, 4); the base model SmolLM2-135M-Instruct expects (576, 4). "
        "It looks trained on another size of the model."
    )
    assert (finding.expected, finding.found) == ("(576, 4)", "(2048, 4)")


def test_a_smaller_tensor_is_not_accepted_in_silence(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.tensors[Q_A] = np.ones((4, 288))
    assert only_finding(examine(adapter), "shape").tensor == Q_A


@pytest.mark.parametrize("shape", [(4,), (4, 576, 1), (), (576, 4), (0, 576)])
def test_a_tensor_of_other_dimensions_is_refused(
    shape: tuple[int, ...], adapter: SmallAdapter, examine: Examine
) -> None:
    adapter.tensors[Q_A] = np.ones(shape)
    assert examine(adapter).findings[0].tensor == Q_A


def test_a_rank_that_differs_from_the_configuration_is_told_as_such(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.tensors[Q_A] = np.ones((3, 576))
    finding = only_finding(examine(adapter), "rank")
    assert (finding.expected, finding.found) == ("(4, 576)", "(3, 576)")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("base_model.model.model.layers.30.self_attn.q_proj.lora_A.weight", "does not have"),
        ("base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight", "does not have"),
        ("base_model.model.lm_head.lora_A.weight", "does not have"),
        ("base_model.model.model.embed_tokens.lora_embedding_A", "embedding"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "DoRA"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", "bias on lora_B"),
        ("base_model.model.model.layers.0.self_attn.q_proj.bias", "bias"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", "save_pretrained"),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", "begin with"),
        ("../../evil\n", "begin with"),
    ],
)
def test_a_tensor_that_no_engine_would_use_is_explained(
    name: str, word: str, adapter: SmallAdapter, examine: Examine
) -> None:
    adapter.tensors[name] = np.ones((4, 576))
    finding = next(finding for finding in examine(adapter).findings if finding.check == "names")
    assert finding.severity == "error"
    assert word in finding.message


def test_a_file_without_tensors_is_refused(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.tensors = {}
    report = examine(adapter)
    assert not report.ok
    assert report.findings[0].check == "names"


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_found(dtype: Any, value: float, examine: Examine) -> None:
    adapter = small_adapter(dtype=dtype, modules=["self_attn.q_proj"])
    adapter.tensors[Q_A][-1, -1] = value
    assert only_finding(examine(adapter), "finite").tensor == Q_A


def test_mixed_types_are_refused(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.dtypes[Q_A] = "F32"
    assert only_finding(examine(adapter), "dtype").found == "F16, F32"


@pytest.mark.parametrize("dtype", ["F64", "I8"])
def test_a_type_that_is_no_small_float_is_refused(dtype: str, adapter: SmallAdapter, examine: Examine) -> None:
    adapter.dtypes = dict.fromkeys(adapter.tensors, dtype)
    report = examine(adapter)
    assert {finding.check for finding in report.findings} == {"dtype"}
    assert not report.ok


def test_an_untrained_adapter_is_remarked(adapter: SmallAdapter, examine: Examine) -> None:
    for name in adapter.tensors:
        if "lora_B" in name:
            adapter.tensors[name][:] = -0.0
    assert "changes nothing" in only_finding(examine(adapter), "zero", severity="warning").message


def test_one_untrained_matrix_is_remarked(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.tensors[Q_B][:] = 0
    assert only_finding(examine(adapter), "zero", severity="warning").found == "1 of 60 are zero"


def test_modules_that_were_to_be_trained_but_are_not_in_the_file_are_remarked(
    adapter: SmallAdapter, examine: Examine
) -> None:
    del adapter.tensors[Q_A], adapter.tensors[Q_B]
    assert only_finding(examine(adapter), "targets", severity="warning").found == "1 missing"


# The report


def test_all_mistakes_are_told_at_once(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config["use_dora"] = True
    adapter.config["lora_alpha"] = -1
    adapter.tensors[Q_A][0, 0] = np.nan
    del adapter.tensors[Q_B]
    assert {finding.check for finding in examine(adapter).findings} == {
        "unsupported-option",
        "alpha",
        "finite",
        "pairs",
    }


def test_errors_are_told_before_remarks(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.config["base_model_name_or_path"] = None
    adapter.tensors[Q_A][0, 0] = np.nan
    findings = examine(adapter).as_json()["findings"]
    assert [finding["severity"] for finding in findings] == ["error", "warning"]


def test_a_thousand_equal_findings_are_cut_and_counted(adapter: SmallAdapter, examine: Examine) -> None:
    adapter.tensors = {name: np.ones((9, 9)) for name in adapter.tensors}
    report = examine(adapter).as_json()
    assert len([finding for finding in report["findings"] if finding["check"] == "shape"]) == SHOWN_PER_CHECK
    assert report["omitted"] == {"shape": 120 - SHOWN_PER_CHECK}
    assert not report["ok"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
OPTIONS = [*small_adapter().config, "alpha_pattern", "modules_to_save", "init_lora_weights", "layers_to_transform"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(OPTIONS), JSON, min_size=1, max_size=4))
def test_whatever_the_configuration_holds_there_is_a_report(
    changes: dict[str, Any], base: BaseSpec, tmp_path: Path
) -> None:
    adapter = small_adapter(modules=["self_attn.k_proj"], rank=1)
    adapter.config |= changes
    json.dumps(validate(adapter.write(tmp_path), base, Limits()).as_json(), allow_nan=False)
