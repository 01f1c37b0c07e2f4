"""A whole server on the simulated engine, as a program that can be started in a room: ``python -m ... HOME [SECONDS]``.

Clusters take a moment (or the seconds that are given) to start, so that they can be seen while they do; the cluster that is
named ``broken`` never does. When it answers it writes into ``HOME/ready`` where its TLS is, and the file of its authority.
It runs until SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from heliostat.engines.simulated import World
from heliostat.testing.harness import running
from heliostat.tls import authority_file

START_SECONDS = 1.5
BROKEN = "worker pool: no machine of that kind is left"


async def main(home: Path, start_seconds: float = START_SECONDS) -> None:
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    world = World(start_seconds=start_seconds, failing={"broken": BROKEN}, clock=lambda: datetime.now(UTC))
    async with running(home, world=world) as up:
        place = up.running.server.address.tls_place
        (home / "starting").write_text(f"{place}\n{authority_file(home)}\n")
        (home / "starting").rename(home / "ready")
        await end.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the server itself does it
        runner.run(main(Path(sys.argv[1]), *map(float, sys.argv[2:])))
