"""The file that the control plane runs, by path, with the Python of a Ray environment.

``python bootstrap.py zygote``            serve the line protocol on standard input (a socket) until its end
``python bootstrap.py node <directory>``  be the shim of one node, without a zygote (the fall-back)

The package is not installed in the Ray environment and must not show in users' jobs, so nothing goes through PYTHONPATH:
this file starts itself again in Python's isolated mode, without any ``PYTHON*`` variable, and puts only its own parent
folder on this process's ``sys.path``. Ray starts its processes by command line and environment, so none of them sees it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

USAGE = "usage: bootstrap.py zygote | bootstrap.py node <directory>"


def isolate() -> None:
    """Make sure that the caller's Python settings have no effect here; may replace this process."""
    foreign = [name for name in os.environ if name.startswith("PYTHON")]
    if sys.flags.isolated and not foreign:
        return
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    command = [sys.executable, "-I", str(Path(__file__).resolve()), *sys.argv[1:]]
    os.execve(sys.executable, command, environment)


def main(arguments: list[str]) -> NoReturn:
    """Run one of the two modes; exit status 2 for wrong arguments."""
    isolate()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from heliostat_node.environment import import_environment

    os.environ.update(import_environment())
    match arguments:
        case ["zygote"]:
            from heliostat_node import zygote

            zygote.serve(0)
            sys.exit(0)
        case ["node", directory]:
            from heliostat_node import shim

            shim.run(directory)
        case _:
            sys.exit(USAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
