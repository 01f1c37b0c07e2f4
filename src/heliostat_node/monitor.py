"""Ray's autoscaler monitor of a head that scales: the same script, in a process that can import our provider.

This package is on nobody's path, so that it does not show in users' code; here it is added at the end, where it hides
nothing. Ray's settings below are for this process alone. Run as a script; what Ray sees is its own command line.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
from pathlib import Path

SCRIPT = "ray/autoscaler/v2/monitor.py"
CONFIG = "--autoscaling-config="

SETTINGS = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S": "3600",
}
"""How often it decides (Ray: 5 s); how long a node may wait for its turn to start before Ray gives it up (2.47: 300 s)."""


NOISE = ("ray.autoscaler._private.util", "Dropping the empty legacy field")
"""A logger of Ray's and what it says twice in every round, of fields that only Ray's own defaults have."""


def direct(command: list[str]) -> list[str]:
    """The command as this script runs it if it is the monitor of a head that scales, else as it is."""
    place = next((index for index, word in enumerate(command) if word.endswith(SCRIPT)), None)
    if place is None or not any(word.startswith(CONFIG) for word in command):
        return command
    return [*command[:place], __file__, *command[place:]]


def main() -> None:
    """Be ``python <script> <options>``, the script being the first argument."""
    here = Path(__file__).resolve()
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != here.parent]
    sys.path.append(str(here.parents[1]))
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    logger, beginning = NOISE
    logging.getLogger(logger).addFilter(lambda record: not str(record.msg).startswith(beginning))
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
