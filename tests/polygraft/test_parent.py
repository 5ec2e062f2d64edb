"""The launcher ends when make does, even when make is killed."""

import subprocess
import sys

from deadline import wait_until
from processes import lives

CHILD = """
import os, sys, time
from polygraft.parent import end_with_parent
end_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_it_ends_when_its_parent_is_killed() -> None:
    # The shell does not become the child, since it has something left to do.
    with subprocess.Popen(
        ["/bin/sh", "-c", '"$0" -c "$1" $$; true', sys.executable, CHILD], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert lives(child)
        parent.kill()
        wait_until(lambda: not lives(child) or None, what="the child has ended")


def test_it_does_not_start_for_a_parent_that_is_gone() -> None:
    with subprocess.Popen(["/bin/true"]) as gone:
        pass
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(gone.pid)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ProcessLookupError" in child.stderr
    assert child.stdout == ""
