"""A whole server in a test: real port, real database, all doors, with the simulated engine unless told otherwise.

``async with running(home) as server`` runs in the test's own loop; ``with threaded(home) as server`` in a thread, for
tests that are not asynchronous or that call it from other processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliostat.config import Settings
from heliostat.engines.base import Engine
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.server import Running, serve
from heliostat.services.seams import Clock


@dataclass(frozen=True)
class HarnessServer:
    """A running server with its first admin's credentials."""

    running: Running
    world: World
    """The simulated engine's world; unused when another engine was given."""
    home: Path
    url: str
    workspace: str
    token: str
    access_key_id: str
    access_key_secret: str

    @property
    def port(self) -> int:
        return self.running.port


@contextlib.asynccontextmanager
async def running(
    home: Path,
    *,
    world: World | None = None,
    engine: Engine | None = None,
    clock: Clock | None = None,
    **settings: Any,  # fields of heliostat.config.Settings
) -> AsyncIterator[HarnessServer]:
    """A server in this event loop, on a free port of 127.0.0.1."""
    world = world or World()
    chosen = Settings(**{"home": home, "port": 0, **settings})
    async with serve(chosen, engine=engine or SimulatedEngine(world), clock=clock) as up:
        made = json.loads((home / "credentials.json").read_text())
        yield HarnessServer(
            up, world, home, made["endpoint"], made["workspace_id"], made["token"],
            made["access_key_id"], made["access_key_secret"],
        )  # fmt: skip


@contextlib.contextmanager
def threaded(home: Path, **options: Any) -> Iterator[HarnessServer]:  # the options of running()
    """The same in a thread with a loop of its own. What is raised at the start is raised here."""
    ready = threading.Event()
    found: list[HarnessServer] = []
    raised: list[BaseException] = []
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def main() -> None:
        async with running(home, **options) as server:
            found.append(server)
            ready.set()
            await end.wait()

    def work() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:  # noqa: BLE001 - handed over to the test's thread, which raises it
            raised.append(error)
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=work, name="heliostat server")
    thread.start()
    ready.wait()
    try:
        if raised:
            raise raised[0]
        yield found[0]
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(end.set)
        thread.join()
