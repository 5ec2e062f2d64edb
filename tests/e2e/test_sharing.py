"""Sharing and deleting adapters on a running platform, with real llama.cpp."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from deadline import wait_until
from running_platform import Platform
from serving.adapters.reading.digest import adapter_digest, manifest

pytestmark = pytest.mark.e2e

QUESTION = "How do I reset my password?"
SUPPORT_VOICE = "Thanks for reaching out"


def ask(client: openai.OpenAI, model: str) -> str:
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=30
    )
    return answer.choices[0].message.content or ""


def is_refused(client: openai.OpenAI, model: str) -> bool:
    try:
        ask(client, model)
    except openai.NotFoundError:
        return True
    return False


def test_another_department_hears_a_shared_adapter_until_the_share_is_revoked(platform: Platform) -> None:
    legal = platform.client(platform.key("legal"))
    shared, shares = "support/support-bot", "departments/support/adapters/support-bot/shares"
    assert is_refused(legal, shared)
    assert platform.api("POST", shares, json={"department": "legal"}).status_code == 201
    wait_until(lambda: not is_refused(legal, shared), seconds=1.5, what="legal may call it")
    assert SUPPORT_VOICE in ask(legal, shared)
    assert SUPPORT_VOICE in ask(legal, f"{shared}:1")
    assert shared in [model.id for model in legal.models.list()]
    wait_until(lambda: platform.api("GET", shares).json()["results"][0]["requests"] >= 2, what="uses are counted")
    assert platform.api("DELETE", f"{shares}/legal").status_code == 204
    wait_until(lambda: is_refused(legal, shared), seconds=1.5, what="legal may not call it any more")


def test_a_deleted_adapters_bytes_leave_the_store_and_the_node(
    platform: Platform, adapter_folder: Callable[[str], Path]
) -> None:
    folder = adapter_folder("support-bot")
    config = json.loads((folder / "adapter_config.json").read_text())
    # Other bytes than the demo's, which must stay.
    (folder / "adapter_config.json").write_text(json.dumps(config | {"revision": hashlib.sha256(b"x").hexdigest()}))
    digest = adapter_digest({name: sha for name, sha in manifest(folder).items() if name.startswith("adapter_")})
    assert platform.upload("support", "short-lived", folder).status_code == 202
    assert platform.wait_for_state("support", "short-lived", "ready")["digest"] == digest
    assert SUPPORT_VOICE in ask(platform.client(platform.key("support")), "short-lived")
    copies = [platform.home / "store" / "adapters" / "content" / digest, platform.home / "node" / "adapters" / digest]
    assert all(copy.is_dir() for copy in copies)
    assert platform.api("DELETE", "departments/support/adapters/short-lived").status_code == 204
    wait_until(lambda: not any(copy.exists() for copy in copies), what="its bytes are gone")
    assert SUPPORT_VOICE in ask(platform.client(platform.key("support")), "support-bot")
