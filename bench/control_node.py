"""A node for the benchmark of the control plane: the platform's own Celery worker and agent, with fake engines.

    python bench/control_node.py NAME [--beat] [-- ARGUMENTS OF THE FAKE ENGINE]

Two things differ from a real node: its driver starts `tests/fake_engine.py`, and adapters have no files to copy. The
back-off between restarts is off, since it rightly gives up on engines that die every few seconds, which these do.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform"), str(REPOSITORY / "tests")]


def main() -> None:
    """Work until terminated."""
    name, *rest = sys.argv[1:]
    os.environ["POLYGRAFT_NODE_NAME"] = name
    import django

    django.setup()
    from fake_driver import FakeDriver
    from polygraft.celery import app
    from serving.adapters.store.node_copies import Copy, NodeCopies
    from serving.engines import supervisor
    from serving.engines.kinds import EngineKind
    from serving.fleet import restarts

    driver = FakeDriver()
    driver.arguments = rest[rest.index("--") + 1 :] if "--" in rest else []
    supervisor.DRIVERS = {EngineKind.LLAMACPP: driver}
    NodeCopies.fetch = lambda self, digest, base: Copy(peft_folder=Path("/none"), gguf_file=Path("/none"))
    restarts.WINDOW = timedelta(0)
    beat = ["--beat"] if "--beat" in rest else []
    app.worker_main(
        ["--quiet", "worker", *beat, "--concurrency", "1", "--hostname", name, "--without-gossip", "--without-mingle"]
    )


if __name__ == "__main__":
    main()
