"""Logs under kill -9 at any step, outages of the storage and a second server: in the end the stored log is the masked source,
nothing lost, nothing doubled; and at any time what readers are promised is there and is a beginning of it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heliostat.control.log_keeper import LogKeeper
from heliostat.control.node_log_choice import NodeLogLimits
from heliostat.domain.errors import Unavailable
from heliostat.domain.jobs import driver_log
from heliostat.domain.masking import MASK
from heliostat.testing.crash import Crash, CrashingEngine, CrashingStorage, CrashPoints, crashing_store

from .keeping import QUICK, SECRET, FailingStorage, House, house

STEPS = st.integers(0, 30)
HALF = len(SECRET) // 2
PIECES = st.lists(
    st.sampled_from(
        ["a", "line\n", "\u00e9\n", SECRET, SECRET[:HALF], SECRET[HALF:], SECRET[:1], f"{SECRET}{SECRET[:3]}"]
    ),
    min_size=1,
    max_size=6,
)


def masked(text: str) -> bytes:
    """Said independently of how it is done."""
    return text.replace(SECRET, MASK).encode()


class Server:
    """A keeper that dies at an armed step."""

    def __init__(self, home: House, piece_bytes: int) -> None:
        self.points = CrashPoints()
        storage = FailingStorage(home.storage.storage)
        self.outages = storage
        self.storage = CrashingStorage(storage, self.points)
        self.keeper = LogKeeper(
            crashing_store(home.store, self.points),
            CrashingEngine(home.engine(), self.points),
            self.storage,
            home.news,
            home.clock,
            replace(QUICK, piece_bytes=piece_bytes, node_logs=NodeLogLimits(file_bytes=40)),
        )


class Logs(RuleBasedStateMachine):
    """One job that prints while servers come and go."""

    @initialize(piece_bytes=st.sampled_from([1, 7, 1 << 20]), second=st.booleans())
    def begin(self, piece_bytes: int, second: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.piece_bytes = piece_bytes
        self.home = self.runner.run(self.stack.enter_async_context(house(Path(self.folder.name))))
        self.job = self.runner.run(self.home.job())
        self.text = ""
        self.ended = False
        self.down = False
        self.servers: list[Server] = []
        self.runner.run(self._boot(2 if second else 1))

    async def _boot(self, servers: int) -> None:
        self.servers += [Server(self.home, self.piece_bytes) for _ in range(servers)]
        for server in self.servers:
            server.outages.down = self.down

    async def _survive(self) -> None:
        """New servers for dead ones."""
        for server in list(self.servers):
            if server.points.crashed_at is not None:
                await server.keeper.close()
                self.servers.remove(server)
                await self._boot(1)

    @precondition(lambda self: not self.ended)
    @rule(pieces=PIECES)
    def print(self, pieces: list[str]) -> None:
        self.text += "".join(pieces)
        self.home.prints(self.job, "".join(pieces))

    @rule(steps=STEPS)
    def arm(self, steps: int) -> None:
        self.servers[-1].points.arm(steps)

    @rule(down=st.booleans())
    def outage(self, down: bool) -> None:
        self.down = down
        for server in self.servers:
            server.outages.down = down

    @rule(turns=st.integers(1, 40))
    def work(self, turns: int) -> None:
        async def call() -> None:
            await self._survive()
            for server in self.servers:
                server.keeper.follow(self.job)
            for _ in range(turns):
                await asyncio.sleep(0.0005)

        self.runner.run(call())

    @rule()
    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.job = self.runner.run(self.home.end(self.job))

    @precondition(lambda self: self.ended)
    @rule()
    def keep(self) -> None:
        self.runner.run(self._keep())

    async def _keep(self) -> bool:
        await self._survive()
        try:
            await self.servers[-1].keeper.keep(self.job)
        except (Crash, Unavailable):
            return False
        return True

    @rule(lines=st.integers(1, 9))
    def keep_nodes(self, lines: int) -> None:
        """A log of the node grows all the while; its stored end is bounded, whatever happens."""
        self.home.world.write_log(self.home.instance.id, self.home.head, "raylet.out", "0123 56789\n" * lines)

        async def call() -> None:
            if not self.ended:
                return
            await self._survive()
            kept = False
            with contextlib.suppress(Crash, Unavailable):
                await self.servers[-1].keeper.keep_instance(self.home.instance)
                kept = True
            row = await self.home.row(self.home.instance.id, f"nodes/{self.home.head}/raylet.out")
            assert not kept or (row is not None and row.complete)
            if row is not None:
                stored = await self.home.storage.storage.read(row.key, 0, row.size)
                assert (b"0123 56789\n" * 20).startswith(stored)
                assert not row.complete or stored.endswith(b"\n")
                assert row.size <= 2 * 40

        self.runner.run(call())

    @invariant()
    def readers_see_a_beginning_of_it(self) -> None:
        if not hasattr(self, "home"):
            return

        async def look() -> None:
            row = await self.home.row(self.job.id, driver_log(self.job.id))
            if row is None:
                return
            stored = await self.home.storage.storage.read(row.key, 0, row.size)
            assert masked(self.text).startswith(stored)
            if len(self.servers) == 1:
                assert len(stored) == row.size

        self.runner.run(look())

    def teardown(self) -> None:
        if not hasattr(self, "home"):
            return
        try:
            self.end()
            self.down = False
            for server in self.servers:
                server.outages.down = False
            self.runner.run(self._all_is_there())
        finally:
            for server in self.servers:
                self.runner.run(server.keeper.close())
            self.runner.run(self.stack.aclose())
            self.runner.close()
            self.folder.cleanup()

    async def _all_is_there(self) -> None:
        async with asyncio.timeout(60):
            while not await self._keep():
                pass
        if self.text:
            row = await self.home.driver(self.job)
            assert row.complete
            assert await self.home.stored(row) == masked(self.text)
            assert row.source_offset == len(self.text.encode())
            assert row.note == ""


Logs.TestCase.settings = settings(
    max_examples=35, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLogs = pytest.mark.slow(Logs.TestCase)
