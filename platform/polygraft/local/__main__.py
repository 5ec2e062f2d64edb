"""Starts everything on this machine and ends it again: `python -m polygraft.local`, which is `make run`."""

import argparse
import io
import sys
import time

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from polygraft.conf import Config, config
from polygraft.local.banner import banner
from polygraft.local.children import AskedToEnd, ChildEnded, Children
from polygraft.local.console_output import ConsoleOutput
from polygraft.local.demo_file import demo_file_read
from polygraft.local.home_lock import home_lock
from polygraft.local.log_folder import LogFolder
from polygraft.local.own_redis import own_redis
from polygraft.local.parts import part_environment, prepare_command, probe_command, web_command, worker_command
from polygraft.local.ports import port_problem
from polygraft.local.problem import CannotStart
from polygraft.parent import end_with_parent


def main() -> int:
    """Run until Ctrl-C, and say in a line why it ended when that was not wished.

    Returns:
        The exit code: 0 when everything was ended as was wished.
    """
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, help="process id of the parent: end when it does")
    parent: int | None = parser.parse_args().parent
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode is no reason to stop
    try:
        if parent is not None:
            end_with_parent(parent)
        _run(_settings(), begun)
    except (AskedToEnd, KeyboardInterrupt):  # the latter before any child was started
        return 0
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    except ChildEnded as error:
        print(f"Everything was stopped, since {error}", file=sys.stderr)
        return 1
    return 0


def _run(conf: Config, begun: float) -> None:
    lock = home_lock(conf.home)
    if problem := port_problem(conf.host, conf.port):
        raise CannotStart(problem)
    given_redis = "redis_url" in conf.model_fields_set
    redis_command, redis_url = ([], conf.redis_url) if given_redis else own_redis(conf.home)
    output = ConsoleOutput(sys.stdout)
    engine_logs = LogFolder(conf.home / "logs")

    def show_engine_logs() -> None:
        for line in engine_logs.new_lines():
            output.line("engine", line)

    with Children(
        environment=part_environment(conf, redis_url), output=output, each_turn=show_engine_logs, kept_open=lock
    ) as children:
        if redis_command:
            children.start("redis", redis_command)
        children.finish(children.start("setup", prepare_command()))
        # Ended in the opposite order: first no more requests, then no more engines.
        children.start("worker", worker_command(conf))
        children.start("web", web_command(conf))
        children.finish(children.start("ready", probe_command(conf)))
        for line in banner(demo_file_read(), seconds=time.monotonic() - begun):
            output.say(line)
        children.watch()


def _settings() -> Config:
    try:
        return config()
    except ValidationError as error:
        raise CannotStart(" ".join(_setting_problem(problem) for problem in error.errors())) from error


def _setting_problem(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0])
    # Settings with an alias are already known by the name of their variable.
    variable = name if name.isupper() else f"POLYGRAFT_{name.upper()}"
    return f"{variable}={problem['input']}: {problem['msg']}."


if __name__ == "__main__":
    sys.exit(main())
