"""The warm pool: small clusters that run already, so that a start need only make one of them its own.

Each entry is looked after by a supervisor of its own, like an instance, in a folder apart. It waits for its turn in the
background, behind every user's start. When it is up, Ray is asked once per release whether a live node takes other
resources; where it does not, that release has no pool. An entry that is not well, not complete after a restart of the server,
or one too many, is removed. An entry that is taken leaves the pool for ever.

Which entries are free is read from the disk alone (:meth:`.layout.Layout.entries`), so a crash leaves each one either here or
with the instance that it was given to.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from heliostat.domain.engine import InstancePlan
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import Release
from heliostat.domain.secret import Secret
from heliostat_node.features import features

from . import records, warm
from .background import BackgroundTurns
from .demolition import demolish
from .node_specs import HOST
from .records import InstanceRecord
from .sizing import RESULT_FILE
from .supervisor import Supervisor
from .warm import Line
from .world import World

QUIET_SECONDS = 2.0
"""After an entry was taken nothing new is begun for so long: whoever took it shall have the machine."""
LOOK_SECONDS = 5.0
FAILURE_SECONDS = 60.0
"""Pause after an entry that could not be started, doubled for each further one in a row."""
FAILURE_LIMIT_SECONDS = 3600.0
PROBE_TRIES = 3
"""A machine under load may be too slow once; a Ray that cannot do it says so every time."""
SCRATCH = "heliostat_probe"
"""A resource that nobody asks for."""

log = structlog.get_logger(__name__)


@dataclass
class _Stock:
    """What is known about one line of the pool."""

    size: int
    works: bool | None = None
    """Whether Ray changes the resources of live nodes; None = not known yet."""
    off: str = ""
    """Why there is no pool."""
    refusals: int = 0
    failures: int = 0
    not_before: float = 0.0


@dataclass
class _Entry:
    supervisor: Supervisor
    adopted: bool = False
    ready: bool = False


@dataclass(frozen=True)
class Taken:
    """An entry that has left the pool."""

    entry: InstanceId
    plan: InstancePlan
    record: InstanceRecord


class Pool:
    """Opened and used in the engine's event loop. ``sizes`` has the lines that shall have entries."""

    def __init__(self, world: World, sizes: Mapping[Line, int]) -> None:
        settings = world.settings
        self._layout = world.layout
        self._world = dataclasses.replace(
            world, layout=world.layout.pool(), changed=self._entry_changed, turns=BackgroundTurns(world.turns)
        )
        self._stocks = {line: _Stock(size) for line, size in sizes.items() if size > 0}
        self._shape = warm.shape(
            settings.warm_workers,
            settings.warm_group,
            settings.warm_memory_bytes,
            world.machine,
        )
        self._entries: dict[InstanceId, _Entry] = {}
        self._leaving: dict[InstanceId, Supervisor] = {}
        self._damaged: set[InstanceId] = set()
        self._quiet_until = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        for line, stock in self._stocks.items():
            if not features(line.release.ray).resizing:
                stock.off = f"Ray {line.release.ray} cannot change the resources of a live node"
                log.warning("no warm starts", release=line.release.display, cause=stock.off)

    # --- its life -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Find the entries of an earlier run of the server, and begin to look after the pool."""
        for entry in self._layout.entries():
            try:
                plan, record = records.read(self._world.layout.instance(entry))
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.error("warm entry cannot be read", entry=entry, cause=str(error))
                self._damaged.add(entry)
                continue
            for node in record.nodes:
                self._world.ports.claim(node.ports.values())
            supervisor = Supervisor(self._world, plan, record)
            supervisor.open()
            if record.up_at:
                self._entries[entry] = _Entry(supervisor, adopted=True)
            else:
                self._remove(entry, supervisor, "it was not complete when the server ended")
        self._task = asyncio.create_task(self._keep(), name="warm-pool")

    async def close(self) -> None:
        """Stop looking; the entries go on running."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*(supervisor.close() for supervisor in self.supervisors))

    @property
    def supervisors(self) -> list[Supervisor]:
        """Of all entries, also of those that are being removed."""
        return [*(entry.supervisor for entry in self._entries.values()), *self._leaving.values()]

    # --- taking -------------------------------------------------------------------------------------------------------

    def match(self, plan: InstancePlan) -> InstanceId | None:
        """An entry that the instance of this plan could have: the one with which most of its nodes are there."""
        room = self._world.machine.store_bytes - self._world.promised()
        fitting = [
            name
            for name, entry in self._entries.items()
            if entry.ready
            and warm.fits(plan, entry.supervisor.plan, entry.supervisor.record, room)
            and self._well(entry)
        ]
        return max(fitting, key=lambda name: len(self._entries[name].supervisor.record.nodes), default=None)

    async def take(self, name: InstanceId) -> Taken | None:
        """Let an entry go; nobody looks after it from now on. None when it is not well any more."""
        entry = self._entries.pop(name)
        self._quiet_until = self._world.now() + QUIET_SECONDS
        try:
            await entry.supervisor.close()
        except asyncio.CancelledError:
            self._supervise_again(name, entry)
            raise
        if not self._well(entry):
            self._supervise_again(name, entry)
            return None
        self._wake.set()
        return Taken(name, entry.supervisor.plan, entry.supervisor.record)

    def give_back(self, taken: Taken) -> None:
        """An entry could not be given to anybody: it is the pool's again."""
        supervisor = Supervisor(self._world, taken.plan, taken.record)
        supervisor.open()
        self._entries[taken.entry] = _Entry(supervisor, adopted=True)
        self._wake.set()

    def find(self, entry: InstanceId) -> Supervisor | None:
        """Who looks after an entry, for the autoscaler of its head."""
        found = self._entries.get(entry)
        return None if found is None else found.supervisor

    def words(self, release: Release) -> str:
        """The state of the release's part, for people; empty where there is none."""
        parts = []
        for line, stock in self._stocks.items():
            if line.release != release:
                continue
            what = "clusters with autoscaling" if line.scaled else "clusters"
            ready = sum(entry.ready for entry in self._of(line))
            parts.append(
                f"no warm starts: {stock.off}" if stock.off else f"{ready} of {stock.size} {what} are kept ready"
            )
        return "; ".join(dict.fromkeys(parts))

    # --- looking after it ---------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause = await self._round()
            except (HeliostatError, OSError) as error:
                log.warning("warm pool cannot be looked after", cause=str(error))
                pause = LOOK_SECONDS
            except Exception:  # the top of the task: a bug must not end the care for the pool
                log.exception("warm pool failed")
                pause = FAILURE_SECONDS
            await self._pause(pause)

    async def _round(self) -> float:
        """Look at every entry, remove what must go, begin one if one is missing. Seconds until the next look."""
        for name in list(self._damaged):
            if not await demolish(self._world, name):
                self._damaged.discard(name)
        for name, supervisor in list(self._leaving.items()):
            if supervisor.ended:
                del self._leaving[name]
        environments = self._world.environments
        kept = [environments.find(line.release) for line, stock in self._stocks.items() if not stock.off]
        self._world.zygotes.keep([environment for environment in kept if environment is not None])
        for name, entry in list(self._entries.items()):
            if self._entries.get(name) is entry:  # it may have been taken while another one was probed
                await self._look(name, entry)
        self._trim()
        return self._refill()

    async def _look(self, name: InstanceId, entry: _Entry) -> None:
        supervisor = entry.supervisor
        stock = self._stocks.get(Line.of(supervisor.plan))
        seen = supervisor.observe()
        if stock is None or stock.off:
            self._remove(name, supervisor, "its release has no pool" if stock is None else stock.off)
        elif seen.failure:
            self._note_failure(stock)
            self._remove(name, supervisor, seen.failure)
        elif supervisor.record.up_at and not self._well(entry):
            self._remove(name, supervisor, seen.trouble or "one of its nodes has ended")
        elif not self._has_shape(supervisor.plan):
            self._remove(name, supervisor, "the settings of the pool are others now")
        elif supervisor.record.up_at and not entry.ready:
            if stock.works is None:
                problem = await self._probe(supervisor)
                if self._entries.get(name) is not entry:
                    return
                if problem:
                    stock.refusals += 1
                    if stock.refusals < PROBE_TRIES:
                        log.info("warm entry is probed again", entry=name, cause=problem)
                        return
                    stock.works = False
                    stock.off = f"Ray does not change the resources of live nodes: {problem}"
                    log.warning("no warm starts", release=supervisor.plan.release.display, cause=problem)
                    self._remove(name, supervisor, stock.off)
                    return
                stock.works = True
            stock.failures = 0
            entry.ready = True
            log.info("warm entry ready", entry=name, release=supervisor.plan.release.display, adopted=entry.adopted)

    async def _probe(self, supervisor: Supervisor) -> str:
        """Ask Ray to change the resources of the entry's nodes, and back; what is wrong, or empty."""
        plan, record = supervisor.plan, supervisor.record
        environment = self._world.environments.find(plan.release)
        head = next(node for node in record.nodes if node.kind == "head")
        ids = [node.ray_node_id for node in supervisor.observe().nodes]
        if environment is None or not all(ids):
            return "its nodes are not known"
        folder = self._world.layout.instance(record.instance)
        token = folder / records.TOKEN_FILE if plan.ray_token is not None else None
        steps = [{node: {SCRATCH: amount} for node in ids} for amount in (1.0, 0.0)]
        gcs = f"{HOST}:{head.ports['gcs_port']}"
        return await self._world.zygotes.resize(environment, gcs, token, steps, folder / RESULT_FILE)

    def _trim(self) -> None:
        """Remove what is too many: one that is not ready first."""
        for line, stock in self._stocks.items():
            names = [name for name, entry in self._entries.items() if Line.of(entry.supervisor.plan) == line]
            names.sort(key=lambda name: not self._entries[name].ready)
            for name in names[stock.size :]:
                self._remove(name, self._entries[name].supervisor, "the pool is smaller now")

    def _refill(self) -> float:
        """Begin one entry, if one is missing and nothing is in the way. Seconds until the next look."""
        now = self._world.now()
        if any(not entry.ready for entry in self._entries.values()) or self._leaving:
            return LOOK_SECONDS
        waits = [LOOK_SECONDS]
        for line, stock in self._stocks.items():
            if stock.off or len(self._of(line)) >= stock.size:
                continue
            wait = max(self._quiet_until, stock.not_before) - now
            if 0 < wait <= FAILURE_LIMIT_SECONDS:
                waits.append(wait)
                continue
            self._begin(line, now)
            break
        return min(waits)

    def _begin(self, line: Line, now: float) -> None:
        entry = InstanceId(f"p-{secrets.token_hex(5)}")
        plan = warm.entry_plan(entry, line, self._shape, Secret(secrets.token_hex(32)))
        record = InstanceRecord(entry, now)
        self._world.layout.create(entry, records.first_files(plan, record))
        supervisor = Supervisor(self._world, plan, record)
        supervisor.open()
        supervisor.apply(plan)
        self._entries[entry] = _Entry(supervisor)

    def _remove(self, name: InstanceId, supervisor: Supervisor, reason: str) -> None:
        log.info("warm entry removed", entry=name, reason=reason)
        self._entries.pop(name, None)
        self._leaving[name] = supervisor
        supervisor.destroy()

    def _note_failure(self, stock: _Stock) -> None:
        pause = min(FAILURE_SECONDS * 2.0 ** min(stock.failures, 30), FAILURE_LIMIT_SECONDS)
        stock.failures += 1
        stock.not_before = self._world.now() + pause

    def _well(self, entry: _Entry) -> bool:
        """Whether every node of an entry that was up is as it was."""
        supervisor = entry.supervisor
        seen = supervisor.observe()
        return seen.complete and not seen.trouble and not supervisor.record.losses

    def _has_shape(self, plan: InstancePlan) -> bool:
        wanted = warm.entry_plan(plan.instance, Line.of(plan), self._shape, Secret(""))
        return (wanted.head, wanted.workers) == (plan.head, plan.workers)

    def _supervise_again(self, name: InstanceId, entry: _Entry) -> None:
        self.give_back(Taken(name, entry.supervisor.plan, entry.supervisor.record))

    def _of(self, line: Line) -> list[_Entry]:
        return [entry for entry in self._entries.values() if Line.of(entry.supervisor.plan) == line]

    def _entry_changed(self, entry: InstanceId) -> None:
        self._wake.set()

    async def _pause(self, seconds: float) -> None:
        waiting = {asyncio.create_task(self._wake.wait()), asyncio.create_task(self._world.clock.sleep(seconds))}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
