"""Reads where an adapter comes from: the whole of its configuration, and what its card says of the training.

All of it is a stranger's text, kept short and printable, for people to read and compare.
"""

import json
from collections.abc import Mapping
from typing import Any

from serving.adapters.examination.report import shown
from serving.adapters.reading.companions import CARD

_MOST_KEYS, _LONGEST_VALUE = 100, 300
_MOST_ITEMS, _LONGEST_ITEM = 20, 100
# A card's metadata are some lines; YAML of more is nobody's.
_LONGEST_METADATA = 16 * 1024
# What Hugging Face's cards call it → the fact's name.
_CARD_FIELDS = {"datasets": "datasets", "author": "authors", "authors": "authors", "license": "license"}


def provenance_facts(config: Mapping[str, Any], companions: Mapping[str, bytes]) -> dict[str, Any]:
    """Return facts for a report: `config` by key, and what there is of revision, task, datasets, authors, license."""
    keys = sorted(config)[:_MOST_KEYS]
    facts: dict[str, Any] = {"config": {shown(key, 60): _in_words(config[key]) for key in keys}}
    for name, key in (("base_revision", "revision"), ("task", "task_type")):
        if isinstance(value := config.get(key), str) and value:
            facts[name] = shown(value)
    metadata = _metadata(companions.get(CARD, b""))
    for key, name in _CARD_FIELDS.items():
        if items := _items(metadata.get(key)):
            facts[name] = items
    return facts


def _in_words(value: Any) -> str:
    try:
        return shown(value if isinstance(value, str) else json.dumps(value, sort_keys=True), _LONGEST_VALUE)
    except RecursionError:
        return "…"


def _items(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [shown(item, _LONGEST_ITEM) for item in items[:_MOST_ITEMS] if isinstance(item, str) and item]


def _metadata(card: bytes) -> dict[str, Any]:
    """The YAML between two lines of dashes at a card's beginning; empty if there is none that can be read."""
    text = card.decode(errors="replace").replace("\r\n", "\n").removeprefix("\N{BYTE ORDER MARK}")
    head, dashes, _ = text.removeprefix("---\n").partition("\n---")
    if not text.startswith("---\n") or not dashes or len(head) > _LONGEST_METADATA:
        return {}
    # Only an upload with a card pays for the import.
    import yaml

    try:
        # The loader that makes nothing but texts, lists and mappings; others stumble over odd tags.
        metadata = yaml.load(head, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
