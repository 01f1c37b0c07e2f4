"""The door of the local engine: the Engine protocol over one supervisor per instance."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator

import structlog

from heliostat.domain.engine import Finding, InstancePlan, NodeLog, Observation
from heliostat.domain.errors import HeliostatError, NotReady
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import Release
from heliostat.domain.spec import ClusterSpec
from heliostat_node.features import features

from . import nfs, records, support, warm
from .autoscaling.door import Door, Served
from .clock import Clock, SystemClock
from .demolition import demolish
from .environments import Environments
from .health import Health, HttpHealth
from .layout import Layout
from .limits import Machine, read_machine
from .lock import StateLock
from .node_logs import NodeLogs
from .node_specs import base_environment
from .pool import Pool
from .ports import PortBook
from .records import InstanceRecord
from .settings import LocalSettings
from .standing import Standing
from .supervisor import Supervisor
from .turns import Turns
from .world import World
from .zygotes import Zygotes, install_runtime

log = structlog.get_logger(__name__)


class LocalEngine:
    """Runs instances as real Ray processes of this machine (see :class:`heliostat.engines.base.Engine`).

    Opened and used in one event loop. ``clock`` and ``health`` are for tests.
    """

    def __init__(self, settings: LocalSettings, clock: Clock | None = None, health: Health | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._health = health or HttpHealth()
        self._layout = Layout(settings.state, settings.short_folder)
        self._lock = StateLock(self._layout.lock)
        self._machine: Machine = read_machine()
        self._environments = Environments(
            self._layout.environments, settings.ready_environment, settings.python_downloads, self._clock
        )
        self._ports = PortBook()
        self._logs = NodeLogs(self._layout)
        self._door = Door(self._layout, self._clock, self._served)
        self._world: World | None = None
        self._pool: Pool | None = None
        self._supervisors: dict[InstanceId, Supervisor] = {}
        self._damaged: dict[InstanceId, str] = {}
        """Instances whose files cannot be read, with what is wrong; they can only be destroyed."""
        self._removals: dict[InstanceId, asyncio.Task[None]] = {}
        self._preparations: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[InstanceId, None] = {}
        self._change = asyncio.Event()

    async def open(self) -> None:
        """Take the state folder and find what runs. Raises NotReady when another server has it or it cannot be used."""
        try:
            self._layout.make()
            self._lock.take()
            await asyncio.to_thread(self._layout.sweep)
            await asyncio.to_thread(self._environments.sweep)
            bootstrap = await asyncio.to_thread(install_runtime, self._settings.node_runtime, self._layout.node_runtime)
        except OSError as error:
            self._lock.release()
            raise NotReady(f"the state folder {self._layout.state} cannot be used: {error}") from error
        base = base_environment(os.environ)
        self._world = World(
            settings=self._settings,
            clock=self._clock,
            layout=self._layout,
            environments=self._environments,
            zygotes=Zygotes(bootstrap, self._layout.zygotes, self._settings.zygote_idle, self._clock, base),
            ports=self._ports,
            health=self._health,
            machine=self._machine,
            base_environment=base,
            changed=self._notify,
            promised=self._promised,
            turns=Turns(self._clock, self._settings.concurrent_starts, self._free_memory),
            coming=self._coming,
        )
        for instance in self._layout.instances():
            self._adopt(instance)
        self._pool = Pool(self._world, self._pool_sizes())
        self._pool.open()
        try:
            await self._door.open()
        except OSError as error:
            await self.close()
            raise NotReady(f"the socket {self._layout.door} cannot be had: {error}") from error

    async def close(self) -> None:
        """Stop watching and release the state folder. Instances go on running."""
        await self._door.close()
        for task in (*self._removals.values(), *self._preparations.values()):
            task.cancel()
        await asyncio.gather(*self._removals.values(), *self._preparations.values(), return_exceptions=True)
        await asyncio.gather(*(supervisor.close() for supervisor in self._supervisors.values()))
        if self._pool is not None:
            await self._pool.close()
        await self._environments.close()
        if self._world is not None:
            await self._world.zygotes.close()
            self._world.exits.close()
        await self._health.close()
        self._logs.close()
        self._layout.tidy()
        self._lock.release()

    async def apply(self, plan: InstancePlan) -> None:
        self._forget_ended(plan.instance)
        supervisor = self._supervisors.get(plan.instance)
        if plan.instance in self._damaged or (supervisor is not None and supervisor.doomed):
            return
        if supervisor is None:
            supervisor = await self._begin_warm(plan) or self._begin(plan)
        supervisor.apply(plan)

    async def observe(self, instance: InstanceId) -> Observation:
        self._forget_ended(instance)
        supervisor = self._supervisors.get(instance)
        if supervisor is not None:
            seen = supervisor.observe()
            if self._layout.entry(instance) is None:
                return seen
            return dataclasses.replace(seen, ray_token=supervisor.plan.ray_token)
        if instance in self._damaged:
            return Observation(instance, present=True, failure=self._damaged[instance], trouble=self._damaged[instance])
        return Observation(instance, present=False)

    async def destroy(self, instance: InstanceId) -> None:
        self._forget_ended(instance)
        if instance in self._supervisors:
            self._supervisors[instance].destroy()
        elif instance in self._damaged and instance not in self._removals:
            self._removals[instance] = asyncio.create_task(self._remove_damaged(instance))

    async def discover(self) -> list[InstanceId]:
        return [*self._supervisors, *self._damaged]

    async def changes(self) -> AsyncIterator[InstanceId]:
        while True:
            await self._change.wait()
            self._change.clear()
            while self._changed:
                instance = next(iter(self._changed))
                del self._changed[instance]
                yield instance

    def support(self, spec: ClusterSpec) -> list[Finding]:
        machine = self._machine
        if spec.nfs_mounts:
            # Looked up each time: operators mount while the server runs.
            mounts = nfs.look(mount.mount_point for mount in spec.nfs_mounts)
            machine = dataclasses.replace(machine, mounts=mounts)
        return support.findings(spec, machine, self._settings.catalogue)

    async def release_problem(self, release: Release) -> str | None:
        return await self._environments.problem(release)

    def renews_head(self, release: Release) -> bool:
        return features(release.ray).gcs_storage

    async def prepare(self, release: Release) -> None:
        environment = await self._environments.ensure(release)
        if self._world is not None:
            self._world.zygotes.prewarm(environment)

    async def begin_preparation(self, release: Release) -> None:
        """Like :meth:`prepare`, in the background. Raises NotReady at once when something is missing."""
        problem = await self._environments.problem(release)
        if problem is not None:
            raise NotReady(problem)
        if release.display not in self._preparations:
            task = self._preparations[release.display] = asyncio.create_task(self._prepare_quietly(release))
            task.add_done_callback(lambda task: self._preparations.pop(release.display, None))

    def preparation(self, release: Release) -> tuple[str, str]:
        state, detail = self._environments.state(release)
        words = "" if self._pool is None else self._pool.words(release)
        return state, f"{detail}; {words}" if words else detail

    async def log_files(self, instance: InstanceId) -> list[NodeLog]:
        return await self._logs.files(instance, self._record(instance)) if self._known(instance) else []

    async def read_log(self, instance: InstanceId, log: NodeLog, offset: int, size: int) -> bytes | None:
        if not self._known(instance):
            return None
        return await self._logs.read(instance, self._record(instance), log, offset, size)

    # --- instances ---------------------------------------------------------------------------------------------------

    async def _begin_warm(self, plan: InstancePlan) -> Supervisor | None:
        """Give the new instance an entry of the warm pool, from one moment to the next and for ever; None: there is none."""
        name = None if self._pool is None else self._pool.match(plan)
        if self._pool is None or name is None:
            return None
        taken = await self._pool.take(name)
        if taken is None:
            return None
        if plan.instance in self._supervisors:
            self._pool.give_back(taken)
            return self._supervisors[plan.instance]
        now = self._clock.now().timestamp()
        plan, record = warm.given(plan, taken.record, taken.plan.ray_token, now)
        try:
            self._layout.claim(plan.instance, taken.entry, records.first_files(plan, record))
        except OSError as error:
            log.warning("warm entry cannot be given", entry=taken.entry, instance=plan.instance, cause=str(error))
            self._pool.give_back(taken)
            return None
        log.info("warm entry given", entry=taken.entry, instance=plan.instance, surplus=len(record.surplus))
        return self._supervise(plan, record)

    def _begin(self, plan: InstancePlan) -> Supervisor:
        record = InstanceRecord(plan.instance, self._clock.now().timestamp())
        try:
            self._layout.create(plan.instance, records.first_files(plan, record))
        except OSError as error:
            raise NotReady(f"the folder of a new instance cannot be made: {error}") from error
        return self._supervise(plan, record)

    def _adopt(self, instance: InstanceId) -> None:
        """Take over an instance of an earlier run of the server."""
        try:
            plan, record = records.read(self._layout.instance(instance))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("instance cannot be read", instance=instance, cause=str(error))
            self._damaged[instance] = f"the engine's files of this instance cannot be read ({error}); stop the cluster"
            return
        for node in (*record.nodes, *record.surplus):
            self._ports.claim(node.ports.values())
        seen = self._supervise(plan, record).observe()
        log.info("instance adopted", instance=instance, alive=seen.alive, nodes=len(seen.nodes))

    def _supervise(self, plan: InstancePlan, record: InstanceRecord) -> Supervisor:
        if self._world is None:
            raise RuntimeError("the engine is not open")
        supervisor = self._supervisors[plan.instance] = Supervisor(self._world, plan, record)
        supervisor.open()
        return supervisor

    def _known(self, instance: InstanceId) -> bool:
        self._forget_ended(instance)
        return instance in self._supervisors or instance in self._damaged

    def _record(self, instance: InstanceId) -> InstanceRecord | None:
        """None when it is damaged."""
        supervisor = self._supervisors.get(instance)
        return None if supervisor is None else supervisor.record

    def _served(self, instance: InstanceId) -> Served | None:
        """For the autoscalers' door."""
        supervisor = self._supervisors.get(instance)
        if supervisor is None and self._pool is not None:
            supervisor = self._pool.find(instance)
        return None if supervisor is None or supervisor.doomed else Served(supervisor, supervisor.plan)

    def _forget_ended(self, instance: InstanceId) -> None:
        supervisor = self._supervisors.get(instance)
        if supervisor is not None and supervisor.ended:
            del self._supervisors[instance]

    async def _remove_damaged(self, instance: InstanceId) -> None:
        if self._world is None:
            raise RuntimeError("the engine is not open")
        try:
            problem = await demolish(self._world, instance)
        except OSError as error:
            problem = f"files cannot be removed: {error}"
        finally:
            del self._removals[instance]
        if not problem:
            del self._damaged[instance]
        elif problem == self._damaged[instance]:
            return
        else:
            log.error("instance cannot be removed yet", instance=instance, cause=problem)
            self._damaged[instance] = problem
        self._notify(instance)

    async def _prepare_quietly(self, release: Release) -> None:
        try:
            await self.prepare(release)
        except HeliostatError as error:
            log.warning("release cannot be prepared", release=release.display, cause=error.message)

    def _notify(self, instance: InstanceId) -> None:
        self._changed[instance] = None
        self._change.set()

    def _everybody(self) -> list[Standing]:
        """Instances and the warm pool's entries."""
        supervisors = [*self._supervisors.values(), *([] if self._pool is None else self._pool.supervisors)]
        return [supervisor.standing for supervisor in supervisors]

    def _pool_sizes(self) -> dict[warm.Line, int]:
        """Of the releases that there are; entries of others are removed."""
        sizes: dict[warm.Line, int] = {}
        for scaled, named in ((False, self._settings.warm), (True, self._settings.warm_scaled)):
            for name, size in named.items():
                release = self._settings.catalogue.find(name)
                if release is not None:
                    sizes[warm.Line(release, scaled)] = size
        return sizes

    def _promised(self) -> int:
        records = [supervisor.record for supervisor in self._supervisors.values()]
        return sum(node.object_store_bytes for record in records if not record.failure for node in record.nodes)

    def _coming(self) -> int:
        return sum(len(one.coming()) for one in self._everybody() if one.head_alive)

    def _free_memory(self) -> int:
        """Without what nodes are about to take that were started without a turn."""
        loose = sum(one.loose_bytes() for one in self._everybody())
        return self._settings.free_memory() - loose
