"""Adds base models and says which departments may use them."""

from collections.abc import Iterable
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import transaction
from polygraft.live import Change, announce

from serving.models import BaseModel
from tenants.audit import audit_record
from tenants.models import Department, User


@transaction.atomic
def base_model_create(
    *,
    name: str,
    by: User | None,
    source: str = "",
    gguf_path: str = "",
    hf_path: str = "",
    open_to_all: bool = True,
    departments: Iterable[Department] = (),
) -> BaseModel:
    """Add a base model.

    Raises:
        ValidationError: the name is taken or malformed, or no path, or a path that is not what it should be.
    """
    problems: dict[str, str] = {}
    if not gguf_path and not hf_path:
        problems["gguf_path"] = "Give a GGUF file for llama.cpp, a Hugging Face folder for vLLM, or both."
    if gguf_path and not Path(gguf_path).is_file():
        problems["gguf_path"] = f"There is no file at {gguf_path} on this machine."
    if hf_path and not (Path(hf_path) / "config.json").is_file():
        problems["hf_path"] = f"There is no config.json in {hf_path} on this machine."
    if problems:
        raise ValidationError(problems)
    model = BaseModel(name=name, source=source, gguf_path=gguf_path, hf_path=hf_path, open_to_all=open_to_all)
    model.full_clean()
    model.save()
    model.departments.set(departments)
    audit_record(action="base_model.create", target=name, by=by, source=source, gguf_path=gguf_path, hf_path=hf_path)
    transaction.on_commit(lambda: announce(Change.MODELS))
    return model
