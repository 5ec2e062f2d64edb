"""Reads adapter_config.json into a typed LoraConfig and says what in it no engine can serve."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from serving.adapters.examination.lora_config import LoraConfig
from serving.adapters.examination.patterns import UnsafePattern, compile_pattern
from serving.adapters.examination.peft_features import check_features
from serving.adapters.examination.report import Rejected, Report, shown
from serving.adapters.reading.limits import Limits
from serving.adapters.reading.names import CONFIG

MOST_PATTERNS = 5000


def read_config(path: Path, limits: Limits, report: Report) -> LoraConfig | None:
    """Return the configuration, or None after telling the report why; raises Rejected when it is not a JSON object."""
    raw = json_object(path, limits)
    before = len(report.findings)
    check_features(raw, report)
    fields = _Fields(raw, report)
    rank = fields.rank(limits)
    config = LoraConfig(
        rank=rank,
        alpha=fields.alpha(),
        rank_stabilised=fields.flag("use_rslora"),
        target_modules=fields.target_modules(),
        layers=fields.layers(),
        excluded_modules=fields.names("exclude_modules"),
        rank_pattern=fields.patterns("rank_pattern", limits.max_rank, whole=True),
        alpha_pattern=fields.patterns("alpha_pattern", math.inf, whole=False),
        declared_base=raw.get("base_model_name_or_path"),
        peft_version=shown(raw.get("peft_version", ""), 40),
    )
    return config if not any(finding.severity == "error" for finding in report.findings[before:]) else None


def json_object(path: Path, limits: Limits) -> dict[str, Any]:
    """Return what the file holds; raises Rejected when it is too long or no JSON object."""
    size = path.stat().st_size
    if size > limits.config_bytes:
        raise Rejected(
            "config",
            f"{CONFIG} has {size} bytes; a configuration has a few hundred.",
            file=CONFIG,
            expected=f"at most {limits.config_bytes} bytes",
            found=f"{size} bytes",
            advice="Upload the adapter_config.json that PEFT's save_pretrained wrote.",
        )
    try:
        raw = json.loads(
            path.read_bytes().decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_without_repeats
        )
    except (ValueError, RecursionError) as error:
        raise Rejected(
            "config",
            f"{CONFIG} is not valid JSON: {shown(error)}",
            file=CONFIG,
            expected="a JSON object in UTF-8",
            found="other bytes" if isinstance(error, UnicodeDecodeError) else shown(error),
            advice="Upload the adapter_config.json that PEFT's save_pretrained wrote, unedited.",
        ) from None
    if not isinstance(raw, dict):
        raise Rejected(
            "config",
            f"{CONFIG} holds JSON, but not an object.",
            file=CONFIG,
            expected='an object such as {"peft_type": "LORA", …}',
            found=shown(type(raw).__name__),
            advice="Upload the adapter_config.json that PEFT's save_pretrained wrote.",
        )
    return raw


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON knows")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers differ in which of two equal keys they believe, so an engine might read another value than we checked.
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return result


class _Fields:
    """Takes typed values out of the configuration and tells the report about those that make no sense."""

    def __init__(self, raw: Mapping[str, Any], report: Report) -> None:
        self._raw = raw
        self._report = report

    def rank(self, limits: Limits) -> int:
        value = self._raw.get("r")
        if not _is_whole(value) or value < 1:
            self._wrong("rank", "r", "a positive whole number", value)
            return 1
        if value > limits.max_rank:
            self._report.error(
                "rank",
                f"The adapter has rank {shown(value)}; this platform serves ranks up to {limits.max_rank}.",
                file=CONFIG,
                expected=f"r at most {limits.max_rank}",
                found=shown(value),
                advice="Train with a smaller r, or ask an administrator to raise the limit.",
            )
            return 1
        return int(value)

    def alpha(self) -> float:
        value = self._raw.get("lora_alpha")
        if not _is_positive(value):
            self._wrong("alpha", "lora_alpha", "a positive number", value)
            return 1.0
        return float(value)

    def flag(self, key: str) -> bool:
        value = self._raw.get(key, False)
        if value not in (True, False, None):
            self._wrong("config", key, "true or false", value)
        return value is True

    def names(self, key: str) -> tuple[str, ...] | str:
        value = self._raw.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            return value
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return tuple(value)
        self._wrong("config", key, "a list of names, or one regular expression", value)
        return ()

    def target_modules(self) -> tuple[str, ...] | str:
        names = self.names("target_modules")
        if not names and self._raw.get("target_modules") in (None, [], ""):
            self._wrong("config", "target_modules", "the names of the modules that were trained", None)
        return names

    def layers(self) -> tuple[int, ...] | None:
        value = self._raw.get("layers_to_transform")
        if value is None or value == []:
            return None
        layers = value if isinstance(value, list) else [value]
        if not all(_is_whole(layer) for layer in layers):
            self._wrong("config", "layers_to_transform", "a list of layer numbers", value)
            return None
        return tuple(layers)

    def patterns(self, key: str, highest: float, *, whole: bool) -> dict[re.Pattern[str], Any]:
        value = self._raw.get(key) or {}
        if not isinstance(value, dict) or len(value) > MOST_PATTERNS:
            self._wrong("config", key, f"an object of at most {MOST_PATTERNS} entries", value)
            return {}
        result: dict[re.Pattern[str], Any] = {}
        for pattern, number in value.items():
            if not (_is_whole(number) if whole else True) or not _is_positive(number) or number > highest:
                limit = f" up to {highest}" if whole else ""
                self._wrong(
                    "rank" if whole else "alpha",
                    f'{key}["{shown(pattern, 60)}"]',
                    f"a positive {'whole ' if whole else ''}number{limit}",
                    number,
                )
                continue
            try:
                # PEFT matches a key against the end of a module's name, whole components only.
                result[compile_pattern(pattern, prefix=r"(.*\.)?(", suffix=")$")] = number
            except UnsafePattern as error:
                self._report.error(
                    "config",
                    f'{key} has the pattern "{shown(pattern, 60)}", which cannot be used: {shown(error)}.',
                    file=CONFIG,
                    expected="module names, or simple regular expressions",
                    found=shown(pattern),
                    advice="Write the full module names, such as model.layers.0.self_attn.q_proj.",
                )
        return result

    def _wrong(self, check: str, key: str, expected: str, found: object) -> None:
        self._report.error(
            check,
            f"{key} is {'missing' if found is None else shown(found, 60)}; expected {expected}.",
            file=CONFIG,
            expected=expected,
            found=shown(found),
            advice="Upload the adapter_config.json that PEFT's save_pretrained wrote, unedited.",
        )


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: object) -> TypeGuard[int | float]:
    # A whole number of hundreds of digits is valid JSON and overflows a float.
    return (_is_whole(value) or isinstance(value, float)) and 0 < value <= 1e9
