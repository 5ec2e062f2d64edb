"""Starts the platform's parts as services do, each by itself, so that one can be restarted; engines outlive workers."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO

from polygraft.conf import Config
from polygraft.local.own_redis import redis_program
from polygraft.local.parts import prepare_command, probe_command, web_command, worker_command
from running_platform import ROOT, START_SECONDS, VLLM_PYTHON, VLLM_VARIABLES, Platform, free_port
from serving.engines.records import Records

_END_SECONDS = 60


@dataclass
class Services(Platform):
    """A platform whose worker can be restarted; `process` is the web server."""

    environment: dict[str, str] = field(default_factory=dict)
    conf: Config = field(default_factory=Config)
    worker: "subprocess.Popen[bytes]" = field(init=False)
    redis: "subprocess.Popen[bytes]" = field(init=False)
    redis_command: list[str] = field(default_factory=list)
    log: IO[bytes] = field(init=False)

    def start_worker(self) -> None:
        """Start a worker; the one before has ended."""
        self.worker = self.start_part(worker_command(self.conf))

    def start_part(self, command: list[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def end_worker(self, number: signal.Signals) -> None:
        """End the worker, by SIGTERM as a service manager does or by SIGKILL as a crash does."""
        self.worker.send_signal(number)
        self.worker.wait(timeout=_END_SECONDS)

    def restart_redis(self) -> None:
        """Kill Redis and start it again, without its memory."""
        self.redis.kill()
        self.redis.wait(timeout=_END_SECONDS)
        self.redis = self.start_part(self.redis_command)

    def engine(self, base_model: str) -> dict[str, object]:
        """The only ready engine of a base model."""
        engines = self.api("GET", "engines?state=ready").json()["results"]
        (engine,) = [engine for engine in engines if engine["base_model"] == base_model]
        return dict(engine)

    def scale(self, base_model: str, replicas: int) -> None:
        """Have as many engines of a base model's only deployment."""
        (deployment,) = self.api("GET", f"deployments?base_model__name={base_model}").json()["results"]
        self.api("PATCH", f"deployments/{deployment['id']}", json={"replicas": replicas}).raise_for_status()

    def events(self, kind: str) -> int:
        """How many events there were of a kind."""
        return sum(event["times"] for event in self.api("GET", f"events?kind={kind}").json()["results"])


def start_services(home: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Services:
    """Start Redis, the web server and a worker, with more settings, and return when the demo answers."""
    port, redis_port = free_port(), free_port()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("POLYGRAFT_")}
    environment = inherited | {
        "POLYGRAFT_HOME": str(home),
        "POLYGRAFT_PORT": str(port),
        "POLYGRAFT_NODE_NAME": f"node-{port}",
        "POLYGRAFT_WEB_WORKERS": "1",
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "polygraft.settings",
        "POLYGRAFT_VLLM_PYTHON": str(VLLM_PYTHON),
        **VLLM_VARIABLES,
        **settings,
    }
    conf = Config(home=home, port=port, node_name=f"node-{port}", web_workers=1)
    services = Services(
        home=home,
        url=f"http://127.0.0.1:{port}",
        demo={},
        process=None,  # type: ignore[arg-type]  # started below
        environment=environment,
        conf=conf,
    )
    services.log = (home / "services.log").open("ab")
    program = redis_program()
    assert program is not None
    services.redis_command = [program, "--port", str(redis_port), "--save", "", "--dir", str(home)]
    services.redis = services.start_part(services.redis_command)
    assert services.start_part(prepare_command()).wait(timeout=START_SECONDS) == 0
    services.demo = json.loads((home / "demo.json").read_text())
    web = [*web_command(conf), "--graceful-timeout", "600"]  # as the unit file has it
    services.process = services.start_part(web)  # type: ignore[assignment]  # nobody reads its output
    services.start_worker()
    ready = services.start_part(probe_command(conf))
    if ready.wait(timeout=START_SECONDS) != 0:
        stop_services(services)
        raise AssertionError("The services did not become ready:\n" + (home / "services.log").read_text()[-6000:])
    return services


def stop_services(services: Services) -> None:
    """End every part, and the engines, which do not end by themselves."""
    for client in services.clients.values():
        client.close()
    for part in (services.process, getattr(services, "worker", None), services.redis):
        if part is not None and part.poll() is None:
            part.send_signal(signal.SIGCONT)
            part.terminate()
            try:
                part.wait(timeout=_END_SECONDS)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()
    records = Records(services.home / "node" / "engines")
    for engine_id in records.engine_ids():
        if (engine := records.last(engine_id)) is not None:
            engine.kill()
    services.log.close()
