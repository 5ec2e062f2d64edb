"""The launcher's way with its children, for shell commands: `python small_launcher.py HOME NAME COMMAND NAME COMMAND…`.

It says who its children are (`child NAME PID`), and ends as the real one does.
"""

import sys
from pathlib import Path

from polygraft.local.children import AskedToEnd, ChildEnded, Children
from polygraft.local.console_output import ConsoleOutput
from polygraft.local.home_lock import home_lock
from polygraft.local.problem import CannotStart


def main(home: Path, commands: list[str]) -> int:
    output = ConsoleOutput(sys.stdout)
    try:
        with Children(
            environment={"PATH": "/usr/bin:/bin"}, output=output, each_turn=lambda: None, kept_open=home_lock(home)
        ) as children:
            for name, command in zip(commands[::2], commands[1::2], strict=True):
                child = children.start(name, ["/bin/sh", "-c", command])
                output.say(f"child {name} {child.group}")
            children.watch()
    except AskedToEnd:
        return 0
    except (CannotStart, ChildEnded) as error:
        output.say(f"stopped: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
