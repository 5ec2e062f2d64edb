"""The intake of adapters and the capacity planner know the same architectures, each what it needs of them."""

from serving.adapters.examination.architectures import BY_MODEL_TYPE
from serving.capacity.architectures import ARCHITECTURES

# Models that the planner can place, but whose adapters are refused: they route tokens to experts.
EXPERTS = {"mixtral", "qwen3_moe"}


def test_whoever_can_be_planned_for_can_have_adapters_unless_it_routes_to_experts() -> None:
    assert set(ARCHITECTURES) - set(BY_MODEL_TYPE) == EXPERTS
    assert {name for name, architecture in ARCHITECTURES.items() if architecture.moe} == EXPERTS


def test_whoever_can_have_adapters_can_be_planned_for_under_the_same_name_in_llamacpp() -> None:
    known = {model_type: architecture.name for model_type, architecture in BY_MODEL_TYPE.items()}
    assert {model_type: ARCHITECTURES[model_type].gguf for model_type in known} == known
