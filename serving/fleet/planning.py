"""Offers the capacity planner to people: for a base model, a config.json or a file on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError

from serving.capacity.estimate import BadWish, Estimate, Wish
from serving.capacity.gguf_file import shape_from_gguf
from serving.capacity.hugging_face import shape_from_config, shape_from_folder
from serving.capacity.plan import Plan, plan
from serving.capacity.shape import Shape, UnknownModel
from serving.engines.kinds import EngineKind
from serving.fleet.needs import base_model_shape
from serving.models import BaseModel

_FILES = {EngineKind.VLLM: "Hugging Face folder", EngineKind.LLAMACPP: "GGUF file"}


def plan_base_model(base_model: BaseModel, wish: Wish, *, engine: EngineKind | None = None, gpu: str = "") -> Plan:
    """Plan a base model. An engine that has no files yet is planned from the other's.

    Raises:
        ValidationError: its files are not at hand, or not known, or a wish cannot be.
    """
    shapes: dict[EngineKind, Shape] = {}
    problems = []
    for kind in EngineKind:
        try:
            shapes[kind] = base_model_shape(base_model, kind)
        except UnknownModel as error:
            problems.append(str(error))
    if not shapes:
        raise ValidationError({"base_model": problems})
    lacking = [kind for kind in EngineKind if kind not in shapes]
    found = _plan(dict.fromkeys(lacking, next(iter(shapes.values()))) | shapes, wish, engine, gpu)
    if found.choice in lacking:
        remark = f"{base_model.name} has no {_FILES[found.choice]} yet, which this engine needs."
        return replace(found, remarks=(*found.remarks, remark))
    return found


def plan_config(config: object, wish: Wish, *, engine: EngineKind | None = None, gpu: str = "") -> Plan:
    """Plan a model by its config.json, parsed.

    Raises:
        ValidationError: it describes no model that the planner knows, or a wish cannot be.
    """
    try:
        shape = shape_from_config(config)
    except UnknownModel as error:
        raise ValidationError({"config": str(error)}) from error
    return _plan(dict.fromkeys(EngineKind, shape), wish, engine, gpu)


def plan_file(path: Path, wish: Wish, *, engine: EngineKind | None = None, gpu: str = "") -> Plan:
    """Plan a GGUF file or a Hugging Face folder on this machine.

    Raises:
        ValidationError: it is neither, or a wish cannot be.
    """
    try:
        shape = shape_from_gguf(path) if path.is_file() and path.suffix == ".gguf" else shape_from_folder(_folder(path))
    except UnknownModel as error:
        raise ValidationError({"model": str(error)}) from error
    return _plan(dict.fromkeys(EngineKind, shape), wish, engine, gpu)


def plan_as_json(found: Plan) -> dict[str, Any]:
    """A plan as the management API tells it; sizes are in bytes."""
    return {
        "model": found.model,
        "engine_kind": found.choice.value,
        "reasons": list(found.reasons),
        "remarks": list(found.remarks),
        "engines": {kind.value: _estimate_as_json(one) for kind, one in found.estimates.items()},
        "refused": {kind.value: reason for kind, reason in found.refused.items()},
    }


def _plan(shapes: dict[EngineKind, Shape], wish: Wish, engine: EngineKind | None, gpu: str) -> Plan:
    try:
        return plan(shapes, wish, engine=engine, gpu=gpu)
    except BadWish as error:
        raise ValidationError({error.field: str(error)}) from error


def _folder(path: Path) -> Path:
    return path.parent if path.name == "config.json" else path


def _estimate_as_json(one: Estimate) -> dict[str, Any]:
    return {
        "quantisation": one.quantisation,
        "gpus": one.gpus,
        "parts": [
            {"name": part.name, "bytes": part.bytes, "exact": part.is_exact, "meaning": part.meaning}
            for part in one.parts
        ],
        "total_bytes": one.total_bytes,
        "host_bytes": one.host_bytes,
        "fits": [{"gpu": fit.gpu, "count": fit.count, "share": fit.share} for fit in one.fits],
        "options": one.options,
        "flags": list(one.flags),
    }
