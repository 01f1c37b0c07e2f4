"""The life of one instance: one task that looks, notes, decides and performs, until the instance is destroyed.

Nothing that matters is only in memory: the record is written before and after every effect, so a supervisor that is made
anew from the files (after a crash of the server) goes on where the old one stopped. It begins by watching only; it acts
when the control loop has applied a plan, since the loop may not want the instance any more.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from heliostat.domain.engine import Demand, Incident, InstancePlan, Observation
from heliostat.domain.engine import Step as Phase
from heliostat.domain.errors import HeliostatError

from .autoscaling.base import ScalerNode
from .autoscaling.config import write_config
from .counts import scaled
from .crowd import LOOK_SECONDS
from .decisions import decide, trouble
from .demolition import demolish
from .errands import INTERNAL, RETRY_SECONDS, Errands
from .facts import Facts
from .logs import secrets
from .nodes import Nodes
from .notes import begin, end, noted
from .observations import observation
from .plans import for_scaler, merged, releases, unreachable
from .records import InstanceRecord, write_plan, write_record
from .scaler import Scaler
from .sizing import Sizing
from .standing import Standing
from .steps import Steps
from .vitals import Vitals
from .world import World

ENVIRONMENT_RETRY_SECONDS = 60.0
DETAIL_SECONDS = 0.5
"""Progress of a build is reported no more often."""

log = structlog.get_logger(__name__)


class Supervisor:
    """Owns one instance. Made by the engine, in its event loop."""

    def __init__(self, world: World, plan: InstancePlan, record: InstanceRecord) -> None:
        self._world = world
        self._plan = plan
        self._record = record
        self._folder = world.layout.instance(record.instance)
        self._nodes = Nodes(world, record.instance, secrets(plan))
        self._applied = False
        self._asked = plan
        """What was applied last, as it was asked for."""
        self._told: InstancePlan | None = None
        """What Ray's autoscaler was told last, by this run of the server."""
        self._environments: dict[str, Path] = {}
        self._environment_failure = ""
        self._details: dict[Phase, str] = {}
        self._told_detail = 0.0
        self._trouble = ""
        """What keeps the engine itself from working on the instance."""
        self._reported: Observation | None = None
        self._wake = asyncio.Event()
        self._doomed = asyncio.Event()
        self._errands = Errands(record.instance, world.clock, self._wake.set, self._report)
        self._vitals = Vitals(world, record.instance, self._errands)
        self._task: asyncio.Task[None] | None = None
        self.standing = Standing(world, self)
        self._steps = Steps(world, self._nodes, self)
        self._sizing = Sizing(world, self._nodes, self)
        self._scaler = Scaler(world, self, lambda node: self._nodes.look(node).alive, self._steps.more_workers)
        self._facts = self._look()

    @property
    def record(self) -> InstanceRecord:
        return self._record

    @property
    def plan(self) -> InstancePlan:
        return self._plan

    @property
    def facts(self) -> Facts:
        """What was seen last."""
        return self._facts

    @property
    def environments(self) -> dict[str, Path]:
        """By group key; complete when the facts say that environments are ready."""
        return self._environments

    @property
    def doomed(self) -> bool:
        return self._doomed.is_set()

    @property
    def ended(self) -> bool:
        """Nothing of the instance is left."""
        task = self._task
        return task is not None and task.done() and not task.cancelled() and task.exception() is None

    def open(self) -> None:
        """Begin to watch. A start that an earlier server began gets the whole time again: that one may be long gone."""
        try:
            self.tell_scaler()
            self._note_orphans()
            self.standing.stand_in_line_again()
            if self._record.started_at and not self._record.up_at:
                self.save(dataclasses.replace(self._record, started_at=self._world.now()))
        except OSError as error:  # a full disk must not keep the server from starting
            log.warning("instance adopted without a note", instance=self._record.instance, cause=str(error))
        self._task = asyncio.create_task(self._run(), name=f"supervisor-{self._record.instance}")

    async def close(self) -> None:
        """Stop watching; the instance runs on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def apply(self, plan: InstancePlan) -> None:
        """Work on this plan; where it is not the one that runs, on what of it can be done without a restart."""
        if self._applied and plan == self._asked:
            return
        if plan.generation >= self._plan.generation:
            changed = merged(self._plan, plan)
            if changed != self._plan:
                self._take(changed)
            self._asked = plan
        self._applied = True
        self._wake.set()

    def _take(self, plan: InstancePlan) -> None:
        write_plan(self._folder, plan)
        if releases(plan) != releases(self._plan):
            self._environments = {}
        self._plan = plan
        self._nodes.hide(secrets(plan))
        self._facts = dataclasses.replace(self._facts, plan=plan)

    def destroy(self) -> None:
        """Remove the instance; the task ends when nothing is left."""
        self._doomed.set()

    def observe(self) -> Observation:
        """What there is now. What is told is noted first, so that a later observation cannot contradict it.

        Where it cannot be noted (a full disk) that is part of what is told.
        """
        try:
            self._look_and_note()
        except OSError as error:
            self._trouble = str(error)
        wrong = (
            trouble(self._facts),
            self.standing.crowding,
            self._vitals.trouble,
            self._trouble,
            *self._errands.trouble,
        )
        text = "; ".join(part for part in wrong if part)
        return observation(self._facts, text, self._details, self._scaler.demand)

    def save(self, record: InstanceRecord) -> None:
        """Replace the record, in memory and on disk."""
        if record != self._record:
            write_record(self._folder, record)
            self._record = record

    # --- Ray's autoscaler (see autoscaling.base) -----------------------------------------------------------------------

    def scaler_nodes(self) -> list[ScalerNode]:
        return self._scaler.nodes()

    def scale_up(self, request: str, group: str, count: int) -> None:
        if self._scaler.up(request, group, count):
            self._wake.set()

    def scale_down(self, nodes: Collection[str]) -> None:
        if self._scaler.down(nodes):
            self._wake.set()

    def report(self, demand: Demand, idle: Mapping[str, float]) -> None:
        if self._scaler.report(demand, idle):
            self._report()

    @property
    def idle(self) -> Mapping[str, float]:
        """Node -> seconds without work, where they were reported."""
        return self._scaler.idle

    def tell_scaler(self) -> None:
        """Have the autoscaler's file say what the plan says."""
        plan = for_scaler(self._plan, scaled(self._plan, self._record))
        if plan != self._told:
            write_config(self._world.layout, plan)
            self._told = plan

    # --- the task --------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        living = asyncio.create_task(self._live())
        doomed = asyncio.create_task(self._doomed.wait())
        try:
            await asyncio.wait({living, doomed}, return_when=asyncio.FIRST_COMPLETED)
            if not self.doomed:
                await living
        finally:
            for task in (living, doomed, *self._errands.tasks):
                task.cancel()
            await asyncio.gather(living, doomed, *self._errands.tasks, return_exceptions=True)
            self.standing.leave()
        self._report()
        await self._demolish()
        self._world.changed(self._record.instance)

    async def _live(self) -> None:
        while True:
            try:
                again = await self._round()
            except (HeliostatError, OSError) as error:
                log.warning("instance cannot be looked after", instance=self._record.instance, cause=str(error))
                self._trouble, again = str(error), RETRY_SECONDS
            except Exception:  # the top of the task: a bug must not end the care for a running cluster
                log.exception("supervisor failed", instance=self._record.instance)
                self._trouble, again = INTERNAL, RETRY_SECONDS
            self._report()
            if again != 0.0:
                await self._sleep(again)

    async def _round(self) -> float | None:
        """Look, note, decide, perform. Seconds until the next round at the latest; None = when something happens."""
        self._wake.clear()
        self._look_and_note()
        self._watch_processes()
        if not self._applied and not self._record.failure:
            return self._vitals.wait(self._facts)
        if self._sizing.problem and not self._record.failure:
            await self._sizing.start_over()
            return 0.0
        if self._sizing.due:
            self._errands.run("sizing", self._sizing.run)
        decision = decide(self._facts, self._world.settings)
        self._trouble = ""
        if decision.steps:
            self._report()
        await self._steps.perform(self.standing.admit(decision.steps))
        if self._record.up_at or self._record.failure:
            self.standing.give_turn_back()
        again = LOOK_SECONDS if self.standing.crowding and not self.standing.coming() else decision.again
        waits = [wait for wait in (again, self._vitals.wait(self._facts)) if wait is not None]
        return min(waits, default=None)

    def _note_orphans(self) -> None:
        """Name what nodes left that died while no server was there to see it; it is ended with the next plan."""
        for node in self._record.nodes:
            if node.launched_at and not self._facts.seen[node.node].alive and (left := self._nodes.members(node)):
                text = f"{len(left)} processes of {node.node} outlived it while the server was down; they are ended."
                incident = Incident(f"orphans/{node.directory}", self._world.clock.now(), "OrphanFound", text)
                self.save(self._record.with_incident(incident))

    def _look_and_note(self) -> None:
        self._facts = self._look()
        if not self.doomed:
            self.save(noted(self._facts))
            self._facts = dataclasses.replace(self._facts, record=self._record)

    def _look(self) -> Facts:
        launched = [node for node in self._record.nodes if node.launched_at]
        return Facts(
            plan=self._plan,
            record=self._record,
            seen={node.node: self._nodes.look(node) for node in launched},
            environment_ready=self._environments_ready(),
            environment_failure=self._environment_failure,
            turn=self.standing.has_turn,
            now=self._world.now(),
            idle=self._scaler.idle,
            unreachable=unreachable(self._plan, self._asked) if self._plan.renew else "",
        )

    def _environments_ready(self) -> bool:
        known = releases(self._plan).keys() <= self._environments.keys()
        return known and all((path / "bin" / "python").exists() for path in set(self._environments.values()))

    def _watch_processes(self) -> None:
        for node in self._record.nodes:
            shim = self._nodes.shim(node) if node.launched_at and self._facts.seen[node.node].alive else None
            if shim is not None:
                self._world.exits.watch(shim, self._wake.set)

    async def _sleep(self, seconds: float | None) -> None:
        if seconds is None:
            await self._wake.wait()
            return
        waiting = {asyncio.create_task(self._wake.wait()), asyncio.create_task(self._world.clock.sleep(seconds))}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _report(self) -> None:
        seen = self.observe()
        if seen != self._reported:
            self._reported = seen
            self._world.changed(self._record.instance)

    async def _demolish(self) -> None:
        pause = 1.0
        while True:
            try:
                left = await demolish(self._world, self._record.instance)
            except OSError as error:
                left = f"files cannot be removed: {error}"
            except Exception:  # the top of the task: what is not removed now must be tried again
                log.exception("instance cannot be removed", instance=self._record.instance)
                left = INTERNAL
            if not left:
                break
            self._trouble = left
            log.error("instance cannot be removed yet", instance=self._record.instance, cause=left)
            self._world.changed(self._record.instance)
            await self._world.clock.sleep(pause)
            pause = min(2 * pause, 60.0)
        nodes = (*self._record.nodes, *self._record.surplus)
        self._world.ports.release(port for node in nodes for port in node.ports.values())

    # --- work in the background -------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Have the environments of all groups built, once at a time. That takes minutes: others start meanwhile."""
        self.standing.give_turn_back()
        self._errands.run("environment", self._prepare)

    def await_turn(self) -> None:
        """Stand in the queue of starts, once at a time."""
        self._errands.run("turn", self.standing.take_turn)

    async def _prepare(self) -> None:
        environments = self._world.environments
        wanted = releases(self._plan)
        if any(environments.find(release) is None for release in wanted.values()):
            self.save(begin(self._record, Phase.ENVIRONMENT, self._world.now()))
            self._world.turns.forget(self._record.created_at)
        try:
            found = {group: await environments.ensure(release, self._detail) for group, release in wanted.items()}
        except HeliostatError as error:
            self._environment_failure = error.message
            if self._record.up_at:
                await self._world.clock.sleep(ENVIRONMENT_RETRY_SECONDS)
                self._environment_failure = ""
            return
        for environment in set(found.values()):
            self._world.zygotes.prewarm(environment)
        self.save(end(self._record, Phase.ENVIRONMENT, self._world.now(), "ready"))
        if wanted == releases(self._plan):  # else they are looked for again
            self._environments = found

    def tell(self, phase: Phase, detail: str) -> None:
        """Say how far a step that is under way has come."""
        self._details[phase] = detail
        self._report()

    def _detail(self, text: str) -> None:
        self._details[Phase.ENVIRONMENT] = text
        now = self._world.now()
        if now - self._told_detail >= DETAIL_SECONDS:
            self._told_detail = now
            self._report()
