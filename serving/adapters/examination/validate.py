"""Examines an adapter's two files and reports all that is wrong with them at once."""

from collections.abc import Sequence
from pathlib import Path

from serving.adapters.examination import checks
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.declared_base import Match, compare
from serving.adapters.examination.lora_config import LoraConfig
from serving.adapters.examination.peft_config import read_config
from serving.adapters.examination.report import Rejected, Report, shown
from serving.adapters.reading.digest import adapter_digest, manifest
from serving.adapters.reading.disguise import refuse_disguise
from serving.adapters.reading.limits import Limits
from serving.adapters.reading.names import CONFIG, WEIGHTS
from serving.adapters.reading.safetensors_file import Tensor, read_header

# alpha / rank: 1 or 2 as a rule, tens in odd cases.
ODD_SCALE = 64.0
ABSURD_SCALE = 1024.0
_FOREIGN = ("names", "shape", "dtype")


def validate(adapter_dir: Path, base: BaseSpec, limits: Limits, aliases: Sequence[str] = ()) -> Report:
    """Check a folder that holds adapter_config.json and adapter_model.safetensors against a base model.

    `aliases` are further names of the base model, as its administrators know it. Never raises for bad input.
    """
    report = Report()
    report.facts["base_model"] = base.name
    if not _check_files(adapter_dir, limits, report):
        return report
    config = _read_config(adapter_dir, limits, report)
    tensors = _read_tensors(adapter_dir, limits, report)
    if config is not None:
        _check_declared_base(config, base, aliases, report)
    if tensors is not None:
        checks.check_types(tensors, report)
        checks.check_names(tensors, base, report)
        checks.check_pairs(tensors, report)
        report.facts["tensors"] = len(tensors)
        report.facts["dtypes"] = sorted({tensor.dtype for tensor in tensors.values()})
    if config is not None and tensors is not None:
        _check_scales(config, base, report)
        checks.check_shapes(tensors, base, config, report)
        checks.check_targets(tensors, base, config, report)
    # What belongs to no module of this base model is refused by the header, in milliseconds; its numbers mean nothing.
    if tensors is not None and not any(finding.check in _FOREIGN for finding in report.findings):
        # numpy takes longer to import than a header takes to refuse.
        from serving.adapters.examination.value_checks import check_values

        check_values(adapter_dir / WEIGHTS, tensors, report)
    if report.ok:
        files = manifest(adapter_dir)
        report.facts["files"] = files
        report.facts["digest"] = adapter_digest(files)
    return report


def _check_files(adapter_dir: Path, limits: Limits, report: Report) -> bool:
    """Whether both files are there, are what their names say, and are not too large."""
    for name in (CONFIG, WEIGHTS):
        path = adapter_dir / name
        if not path.is_file():
            report.error(
                "files",
                f"{name} is missing.",
                file=name,
                expected=f"{CONFIG} and {WEIGHTS}",
                found=", ".join(sorted(shown(path.name) for path in adapter_dir.iterdir())) or "no files",
                advice="Upload both files that PEFT's save_pretrained wrote.",
            )
            continue
        try:
            refuse_disguise(path)
        except Rejected as rejected:
            report.findings.append(rejected.finding)
    if not report.ok:
        return False
    size = sum(path.stat().st_size for path in adapter_dir.iterdir())
    report.facts["bytes"] = size
    if size > limits.total_bytes:
        report.error(
            "size",
            f"The adapter has {size} bytes; this platform takes up to {limits.total_bytes}.",
            expected=f"at most {limits.total_bytes} bytes",
            found=f"{size} bytes",
            advice="Train with a smaller rank or fewer modules, or save in float16.",
        )
    return report.ok


def _read_config(adapter_dir: Path, limits: Limits, report: Report) -> LoraConfig | None:
    try:
        config = read_config(adapter_dir / CONFIG, limits, report)
    except Rejected as rejected:
        report.findings.append(rejected.finding)
        return None
    if config is not None:
        report.facts |= {
            "rank": config.highest_rank,
            "engine_rank": limits.engine_rank(config.highest_rank),
            "alpha": config.alpha,
            "rank_stabilised": config.rank_stabilised,
            "target_modules": config.target_modules
            if isinstance(config.target_modules, str)
            else sorted(config.target_modules),
            "declared_base": shown(config.declared_base or ""),
            "peft_version": config.peft_version,
        }
    return config


def _read_tensors(adapter_dir: Path, limits: Limits, report: Report) -> dict[str, Tensor] | None:
    try:
        return read_header(adapter_dir / WEIGHTS, limits.header_bytes)
    except Rejected as rejected:
        report.findings.append(rejected.finding)
        return None


def _check_declared_base(config: LoraConfig, base: BaseSpec, aliases: Sequence[str], report: Report) -> None:
    declared = shown(config.declared_base or "")
    match compare(config.declared_base, (*base.names, *aliases)):
        case Match.SAME:
            return
        case Match.OTHER:
            add, message = report.error, f"The adapter was trained on {declared}, but uploaded for {base.name}."
            advice = "Choose the base model that the adapter was trained on; an adapter fits no other."
        case Match.RELATED:
            add, message = report.warning, f"The adapter was trained on {declared}; {base.name} is a relative of it."
            advice = "Make sure that both are the same model: adapters answer worse on another variant."
        case Match.UNKNOWN:
            add = report.warning
            message = "adapter_config.json does not say by name which model the adapter was trained on."
            advice = "Set base_model_name_or_path to the model's name, so that a mix-up can be noticed."
    add("declared-base", message, file=CONFIG, expected=base.name, found=declared, advice=advice)


def _check_scales(config: LoraConfig, base: BaseSpec, report: Report) -> None:
    """Alpha over rank tells how loud the adapter is; far from 1 it drowns the base model."""
    scale = max(map(config.module_scale, base.linear_modules))
    if scale > ODD_SCALE:
        add = report.error if scale > ABSURD_SCALE else report.warning
        add(
            "alpha",
            f"The adapter's effect is multiplied by {scale:g} (alpha against rank); usual are 1 and 2.",
            file=CONFIG,
            expected=f"at most {ODD_SCALE:g}",
            found=f"{scale:g}",
            advice="Check lora_alpha, alpha_pattern and r: they must be those of the training.",
        )
