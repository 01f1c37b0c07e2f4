"""A whole server on the simulated engine, as a program that can be started in a room: ``python -m ... HOME``.

Clusters take a moment to start, so that they can be seen while they do; the cluster that is named ``broken`` never does.
It writes ``HOME/ready`` when it answers and runs until SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from heliostat.engines.simulated import World
from heliostat.testing.harness import running

START_SECONDS = 1.5
BROKEN = "worker pool: no machine of that kind is left"


async def main(home: Path) -> None:
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    world = World(start_seconds=START_SECONDS, failing={"broken": BROKEN}, clock=lambda: datetime.now(UTC))
    async with running(home, world=world):
        (home / "ready").touch()
        await end.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
