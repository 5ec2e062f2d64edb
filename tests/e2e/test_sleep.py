"""A sleeping deployment of the real platform is woken by a request, which waits for it and is answered."""

import os
import subprocess
import sys

import pytest

from deadline import wait_until
from demo_model import demo_model_path
from running_platform import ROOT, Platform

pytestmark = pytest.mark.e2e

BASE = "sleeper"
# Sixty idle minutes in no time.
_TO_SLEEP = """
import django; django.setup()
from django.utils import timezone
from serving.models import Deployment
Deployment.objects.filter(base_model__name="sleeper").update(replicas=0, asleep_since=timezone.now())
"""


def living(platform: Platform, deployment: int) -> list[str]:
    engines = platform.api("GET", f"engines?deployment={deployment}").json()["results"]
    return [engine["state"] for engine in engines if engine["state"] not in ("stopped", "failed")]


def test_a_request_wakes_what_sleeps_and_is_answered(platform: Platform) -> None:
    platform.api("POST", "base-models", json={"name": BASE, "gguf_path": str(demo_model_path())})
    wished = {"base_model": BASE, "engine_kind": "llamacpp", "idle_minutes": 60, "options": {"ctx_size": 512}}
    deployment = platform.api("POST", "deployments", json=wished).json()["id"]
    wait_until(lambda: living(platform, deployment) == ["ready"], what="its engine is ready")
    environment = os.environ | {
        "POLYGRAFT_HOME": str(platform.home),
        "DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "polygraft.settings",
    }
    subprocess.run([sys.executable, "-c", _TO_SLEEP], cwd=ROOT, env=environment, check=True)
    wait_until(lambda: not living(platform, deployment), what="its engine has ended")
    answer = platform.client(platform.key("support")).chat.completions.create(
        model=BASE, messages=[{"role": "user", "content": "Hello"}], max_tokens=4
    )
    assert answer.choices[0].message.content
    events = platform.api("GET", "events").json()["results"]
    sentences = [event["sentence"] for event in events]
    assert f"{BASE} on llama.cpp wakes: somebody asks for its base model." in sentences
    assert platform.api("PATCH", f"deployments/{deployment}", json={"replicas": 0}).status_code == 200
