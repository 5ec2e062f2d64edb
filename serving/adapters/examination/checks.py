"""Holds an adapter's tensors against its configuration and against the base model."""

from collections.abc import Mapping

from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.lora_config import LoraConfig
from serving.adapters.examination.report import Report, shown, shown_shape
from serving.adapters.reading.names import CONFIG, WEIGHTS
from serving.adapters.reading.safetensors_file import FLOATS, Tensor
from serving.adapters.reading.tensor_names import full_name, parse, why_unknown

Tensors = Mapping[str, Tensor]


def check_types(tensors: Tensors, report: Report) -> None:
    """One float type for all: engines read the first tensor's and cast."""
    types = sorted({tensor.dtype for tensor in tensors.values()})
    for tensor in tensors.values():
        if tensor.dtype not in FLOATS:
            report.error(
                "dtype",
                f"{shown(tensor.name)} has the type {tensor.dtype}.",
                file=WEIGHTS,
                tensor=shown(tensor.name),
                expected="F32, F16 or BF16",
                found=tensor.dtype,
                advice="Save the adapter in float32, float16 or bfloat16; quantised adapters are not supported.",
            )
    if len(types) > 1:
        report.error(
            "dtype",
            f"The tensors have different types: {', '.join(types)}.",
            file=WEIGHTS,
            expected="one type for all tensors",
            found=", ".join(types),
            advice="Cast the adapter to one type, for example with model.half(), and save it again.",
        )


def check_names(tensors: Tensors, base: BaseSpec, report: Report) -> None:
    """Every tensor is lora_A or lora_B of a linear module that the base model has."""
    if not tensors:
        report.error(
            "names",
            f"{WEIGHTS} holds no tensors.",
            file=WEIGHTS,
            expected="lora_A and lora_B matrices",
            found="nothing",
            advice="Save the trained model with PEFT's save_pretrained.",
        )
    modules = base.linear_modules
    for name in tensors:
        parsed = parse(name)
        if parsed is None:
            report.error(
                "names",
                f"{shown(name)} is not served. {why_unknown(name)}",
                file=WEIGHTS,
                tensor=shown(name),
                expected=full_name("<module>", "A") + " or lora_B",
                found=shown(name),
                advice="Train plain LoRA on the linear modules of attention and MLP only.",
            )
        elif parsed.module not in modules:
            report.error(
                "names",
                f"{shown(name)} adapts a module that {base.name} does not have, or that cannot be adapted.",
                file=WEIGHTS,
                tensor=shown(name),
                expected=f"modules of model.layers.0 to {base.layers - 1}: {', '.join(_kinds(base))}",
                found=shown(parsed.module),
                advice="Choose the base model that the adapter was trained on, and train linear modules only.",
            )


def check_pairs(tensors: Tensors, report: Report) -> None:
    """Every A has its B, and every B its A."""
    for name in tensors:
        parsed = parse(name)
        if parsed is None:
            continue
        other = full_name(parsed.module, "B" if parsed.side == "A" else "A")
        if other not in tensors:
            report.error(
                "pairs",
                f"{shown(other)} is missing; {shown(name)} is there without it.",
                file=WEIGHTS,
                tensor=shown(other),
                expected="lora_A and lora_B for every module",
                found=f"lora_{parsed.side} only",
                advice="The file is incomplete. Save the adapter again with PEFT's save_pretrained.",
            )


def check_shapes(tensors: Tensors, base: BaseSpec, config: LoraConfig, report: Report) -> None:
    """A is (rank, in) and B is (out, rank). vLLM checks no shapes: what does not fit would answer with garbage."""
    for name, tensor in tensors.items():
        parsed = parse(name)
        if parsed is None or parsed.module not in base.linear_modules:
            continue
        features_in, features_out = base.linear_modules[parsed.module]
        rank = config.module_rank(parsed.module)
        expected = (rank, features_in) if parsed.side == "A" else (features_out, rank)
        if tensor.shape == expected:
            continue
        rank_axis = 0 if parsed.side == "A" else 1
        two = len(tensor.shape) == 2
        if two and tensor.shape[1 - rank_axis] == expected[1 - rank_axis]:
            check, advice = "rank", "Upload the configuration and the weights of one and the same training."
            reason = f"with rank {rank}, as {CONFIG} says, it is {shown_shape(expected)}."
        else:
            check, advice = "shape", "Choose the base model that the adapter was trained on."
            reason = f"the base model {base.name} expects {shown_shape(expected)}."
            if two and tensor.shape[rank_axis] == rank:
                reason += " It looks trained on another size of the model."
        report.error(
            check,
            f"{shown(name)} has shape {shown_shape(tensor.shape)}; {reason}",
            file=WEIGHTS,
            tensor=shown(name),
            expected=shown_shape(expected),
            found=shown_shape(tensor.shape),
            advice=advice,
        )


def check_targets(tensors: Tensors, base: BaseSpec, config: LoraConfig, report: Report) -> None:
    """Modules that the configuration names should be in the file; those that are not stay as in the base model."""
    found = {parsed.module for parsed in map(parse, tensors) if parsed}
    missing = [module for module in base.linear_modules if config.targets(module) and module not in found]
    if missing and len(missing) < len(base.linear_modules):
        report.warning(
            "targets",
            f"{len(missing)} of the modules that target_modules names are not in the file, such as {missing[0]}. "
            "They will answer as the base model does.",
            file=WEIGHTS,
            tensor=full_name(missing[0], "A"),
            expected="all modules that target_modules names",
            found=f"{len(missing)} missing",
            advice="If you trained them, save the adapter again; else nothing needs to be done.",
        )


def _kinds(base: BaseSpec) -> list[str]:
    """Return the last parts of the modules' names, each once."""
    return list(dict.fromkeys(module.rpartition(".")[2] for module in base.linear_modules))
