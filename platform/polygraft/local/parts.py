"""The commands and the environment of the platform's parts."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from polygraft.conf import Config


def part_environment(conf: Config, redis_url: str) -> Mapping[str, str]:
    """What every part is told: the settings of this process, where Redis is, where metrics are shared."""
    metrics = conf.home / "metrics"
    # Files of an earlier run's processes would be counted on.
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    return {
        **os.environ,
        "POLYGRAFT_HOME": str(conf.home),
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "polygraft.settings",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "PYTHONUNBUFFERED": "1",
        # In the foreground, for one person: everything ends with it.
        "POLYGRAFT_TETHER_ENGINES": "true",
    }


def prepare_command() -> list[str]:
    """Migrates, collects static files, makes the demo's data; ends."""
    return _python("polygraft.local.prepare")


def web_command(conf: Config) -> list[str]:
    """Gunicorn with the console and the APIs."""
    host = f"[{conf.host}]" if ":" in conf.host else conf.host
    return [
        *_python("gunicorn", "polygraft.asgi:application", "--worker-class", "asgi"),
        *("--workers", str(conf.web_workers), "--bind", f"{host}:{conf.port}"),
        *("--config", "python:serving.gateway.gunicorn_hooks"),
        # The launcher's patience when it ends is shared by all parts.
        *("--graceful-timeout", "5", "--no-control-socket"),
    ]


def worker_command(conf: Config) -> list[str]:
    """A Celery worker with beat, which makes this machine a node."""
    # Celery's advice against root is for those who accept pickled messages, which this worker does not.
    quiet = ["-W", "ignore:You're running the worker with superuser privileges"]
    return [
        *(sys.executable, *quiet, "-m", "celery", "--quiet", "--app", "polygraft.celery"),
        # An examination and a comparison may take their time; the reconciler finds a place beside them.
        *("worker", "--beat", "--concurrency", "3"),
        *("--hostname", conf.node_name, "--loglevel", conf.log_level),
        *("--without-gossip", "--without-mingle"),
    ]


def probe_command(conf: Config) -> list[str]:
    """Waits until the demo answers; ends."""
    return _python("polygraft.local.probe", probe_address(conf), str(conf.engine_start_timeout))


def probe_address(conf: Config) -> str:
    """Where this machine itself reaches the platform."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(conf.host, conf.host)  # noqa: S104  # compared, not bound
    return f"http://[{host}]:{conf.port}" if ":" in host else f"http://{host}:{conf.port}"


def log_folder(conf: Config) -> Path:
    """Where the node agent has engines write their logs."""
    return conf.home / "logs"


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]
