"""One look at one job: load it, look at its cluster, ask Ray, decide, perform, record.

The decision is pure (:func:`heliostat.domain.job_lifecycle.decide`); here are its effects. Each may be repeated after a
crash at any point: the definition of a temporary cluster is stored with the job, its start and its removal are wishes
that are recorded in one transaction with the job, and Ray is given our own submission id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from heliostat.domain.claiming import is_waiting
from heliostat.domain.engine import GpuType, NodeState
from heliostat.domain.errors import HeliostatError, InvalidSpec, Retry, Unavailable
from heliostat.domain.ids import ClusterId, JobId
from heliostat.domain.installation import Installation
from heliostat.domain.job_lifecycle import (
    ATTENTION,
    LONGEST_BACKOFF,
    Effect,
    JobFacts,
    JobPlan,
    asks_ray,
    decide,
    failed_before_ray,
)
from heliostat.domain.job_states import JobStatus, may
from heliostat.domain.jobs import Job, Prepared
from heliostat.domain.ray_jobs import Absence, Cause, RaySighting
from heliostat.domain.records import Cluster, Event, Instance
from heliostat.domain.states import State, Wanted
from heliostat.ray_api import Head, RayApi, RayRefused
from heliostat.services.cluster_steps import begin, remove
from heliostat.services.job_usage import usage_now
from heliostat.services.seams import Clock, Wake
from heliostat.store import Store, Transaction

from .beside import Beside
from .code_delivery import CodeDelivery
from .log_keeper import LogKeeper
from .log_secrets import of_given, of_instance, of_job, without_secrets

log = structlog.get_logger()
ACTOR = "heliostat"
NOW = timedelta(0)


@dataclass(frozen=True)
class JobSettings:
    kept_cluster_age: timedelta = timedelta(hours=24)
    """How long a temporary cluster stays after its job when it was asked to stay."""
    code_patience: timedelta = timedelta(minutes=10)
    """How long code is tried to be fetched from a place that does not answer."""
    log_patience: timedelta = timedelta(minutes=10)
    """How long the end of a job's log is tried to be stored, and its cluster kept for it, when the storage is down."""


class JobReconciler:
    """Brings one job a step nearer to its end. The subject of the jobs' loop."""

    kind = "job"

    def __init__(
        self,
        store: Store,
        ray: RayApi,
        keeper: LogKeeper,
        code: CodeDelivery,
        installation: Installation,
        clock: Clock,
        wake_cluster: Wake,
        settings: JobSettings = JobSettings(),
        moved: Callable[[JobId, ClusterId], None] = lambda job, cluster: None,
    ) -> None:
        self._moved = moved
        """Told of a job that has come a step further, and of its cluster."""
        self._store = store
        self._ray = ray
        self._keeper = keeper
        self._code = code
        self._installation = installation
        self._clock = clock
        self._wake_cluster = wake_cluster
        self._settings = settings
        self._preparing: dict[JobId, asyncio.Task[Prepared]] = {}
        """Code that is being fetched; a crash merely begins anew."""
        self._keeping = Beside()
        """Ends of logs on their way home."""
        self._ready: asyncio.Queue[JobId] = asyncio.Queue()

    # --- the subject of a loop --------------------------------------------------------------------------------------

    def active(self, tx: Transaction) -> list[JobId]:
        return tx.jobs.unsettled()

    def unsettled(self, tx: Transaction) -> list[JobId]:
        return tx.jobs.unsettled()

    async def begin(self) -> None:
        """Nothing has to be put in order first: the store says what there is."""

    async def news(self) -> AsyncIterator[JobId]:
        while True:
            yield await self._ready.get()

    async def reconcile(self, key: JobId) -> timedelta | None:
        """Look at the job once; says when to look again at the latest, None for "when woken"."""
        loaded = await self._store.read(lambda tx: _load(tx, key))
        if loaded is None:
            self._forget(key)
            return None
        facts = await self._look(*loaded)
        plan = decide(facts, self._clock.now(), self._settings.kept_cluster_age)
        plan = await self._perform(facts, plan)
        if plan.job == loaded[0] and plan.why is None and plan.effect is Effect.NONE:
            self._follow(plan.job)  # a server that has just been started follows nothing yet
            return plan.again
        recorded = await self._store.write(lambda tx: self._record(tx, facts, plan))
        if not recorded:
            return NOW
        if plan.effect in (Effect.START_CLUSTER, Effect.RELEASE):
            self._wake_cluster(plan.job.cluster)
        if plan.why is not None or plan.job.status is not loaded[0].status or plan.job.settled:
            self._moved(key, plan.job.cluster)
        self._follow(plan.job)
        if plan.job.status.final:
            self._forget(key)
        return plan.again

    async def tell(self, key: JobId, message: str) -> None:
        """Have users read why nothing happens with the job; the next look that succeeds takes it back."""

        def work(tx: Transaction) -> None:
            stored = tx.jobs.lock(key)
            if stored is not None and not stored.status.final and stored.message != message:
                tx.jobs.save(replace(stored, message=message))

        await self._store.write(work)

    async def close(self) -> None:
        """Give up fetching and keeping."""
        for task in self._preparing.values():
            task.cancel()
        await asyncio.gather(*self._preparing.values(), return_exceptions=True)
        self._preparing.clear()
        await self._keeping.close()

    # --- looking ----------------------------------------------------------------------------------------------------

    async def _look(self, job: Job, cluster: Cluster | None, instance: Instance | None, waiting: bool) -> JobFacts:
        head = next(
            (row.ray_node_id for row in instance.nodes if row.kind == "head" and row.state is NodeState.ALIVE), ""
        ) if instance is not None else ""  # fmt: skip
        seen: RaySighting | Absence = Absence.NOT_ASKED
        if asks_ray(job, cluster):
            seen = await self._sighting(job, instance)
        return JobFacts(job, cluster, instance, seen, head, waiting)

    async def _sighting(self, job: Job, instance: Instance | None) -> RaySighting | Absence:
        head = _head(instance)
        if head is None or instance is None:
            return Absence.UNREACHABLE
        try:
            seen = await self._ray.sighting(head, job.attempts[-1].submission_id)
        except Unavailable:
            return Absence.UNREACHABLE
        if seen is None:
            return Absence.UNKNOWN
        if not seen.message:
            return seen
        # It may quote the log, in which the variables of the nodes may stand, too.
        known = of_job(job) | of_instance(instance) | await self._given(job)
        return replace(seen, message=without_secrets(seen.message, known))

    async def _given(self, job: Job) -> frozenset[str]:
        """What its secrets were when it was handed to Ray."""
        if not job.spec.secrets:
            return frozenset()
        return of_given(await self._store.read(lambda tx: tx.secrets.given([job.id])))

    # --- effects ----------------------------------------------------------------------------------------------------

    async def _perform(self, facts: JobFacts, plan: JobPlan) -> JobPlan:
        """The plan once its effect has been had, or what came of it instead."""
        try:
            match plan.effect:
                case Effect.PREPARE:
                    return await self._prepare(facts, plan)
                case Effect.SUBMIT:
                    return await self._submit(facts, plan)
                case Effect.STOP | Effect.WAKE_RAY:
                    await self._speak(facts, plan)
                case Effect.KEEP:
                    return await self._keep(facts, plan)
                case _:
                    pass
        except Unavailable as error:
            if plan.effect is Effect.KEEP:
                raise
            log.info("head does not answer", job=facts.job.id, cause=error.message)
            message = "its cluster does not answer just now; tried again"
            waiting = facts.job if facts.job.status.final else replace(facts.job, message=message)
            return JobPlan(Effect.NONE, waiting, ATTENTION)
        return plan

    async def _prepare(self, facts: JobFacts, plan: JobPlan) -> JobPlan:
        """Fetch the code beside the loop, which meanwhile sees to cancels and deadlines."""
        job = facts.job
        if job.spec.code.empty:
            return replace(plan, job=replace(plan.job, prepared=Prepared()))
        task = self._preparing.get(job.id)
        if task is None:
            task = asyncio.create_task(self._code.prepare(job), name=f"code of {job.id}")
            task.add_done_callback(lambda done: self._ready.put_nowait(job.id))
            self._preparing[job.id] = task
        if not task.done():
            return JobPlan(Effect.NONE, replace(plan.job, message="its code is being fetched"), plan.again or ATTENTION)
        del self._preparing[job.id]
        try:
            prepared = task.result()
        except (HeliostatError, OSError) as error:
            now = self._clock.now()
            if isinstance(error, HeliostatError) and error.retry is Retry.NEVER:
                return failed_before_ray(plan.job, str(error), now, Cause.USER_ERROR)
            if now - job.submitted_at >= self._settings.code_patience:
                return failed_before_ray(plan.job, f"{error}; given up", now, Cause.INFRASTRUCTURE)
            log.info("code cannot be had just now", job=job.id, cause=str(error))
            return JobPlan(Effect.NONE, replace(plan.job, message=f"{error}; it is tried again"), _later(job, now))
        return replace(plan, job=replace(plan.job, prepared=prepared, message="its code is at hand"))

    async def _submit(self, facts: JobFacts, plan: JobPlan) -> JobPlan:
        head = _head(facts.instance)
        attempt = facts.job.attempt
        if head is None or attempt is None:
            raise Unavailable("the head has no address yet")
        try:
            submission = await self._code.submission(head, facts.job, attempt)
            await self._ray.submit(head, submission)
        except RayRefused as error:
            told = without_secrets(str(error), of_job(facts.job) | await self._given(facts.job))
            return failed_before_ray(plan.job, f"Ray refuses it: {told}", self._clock.now(), Cause.USER_ERROR)
        except InvalidSpec as error:
            return failed_before_ray(plan.job, str(error), self._clock.now(), Cause.USER_ERROR)
        except HeliostatError as error:
            if error.retry is Retry.LATER:
                raise
            return failed_before_ray(plan.job, str(error), self._clock.now(), Cause.INFRASTRUCTURE)
        log.info("job handed to Ray", job=facts.job.id, submission=attempt.submission_id, instance=attempt.instance)
        return plan

    async def _speak(self, facts: JobFacts, plan: JobPlan) -> None:
        head = _head(facts.instance)
        if head is None:
            raise Unavailable("the head has no address")
        call = self._ray.stop if plan.effect is Effect.STOP else self._ray.wake
        await call(head, facts.job.attempts[-1].submission_id)

    async def _keep(self, facts: JobFacts, plan: JobPlan) -> JobPlan:
        """Logs first, which must come home; then the summary, which may fail."""
        job = plan.job
        now = self._clock.now()
        try:
            ready = partial(self._ready.put_nowait, job.id)
            if not await self._keeping.done(job.id, partial(self._keeper.keep, facts.job), ready):
                return JobPlan(Effect.NONE, facts.job, ATTENTION)
        except Unavailable as error:
            if job.ended_at is None or now - job.ended_at < self._settings.log_patience:
                raise
            log.warning("end of a log given up", job=job.id, cause=error.message)
            told = f"the end of its log could not be stored: {error.message}"
            return replace(plan, why="LogLost", told=told)
        last = job.attempts[-1]
        head = _head(facts.instance)
        if head is None or not last.ray_job_id or facts.instance is None or facts.instance.id != last.instance:
            return plan
        try:
            return replace(plan, job=replace(job, summary=await self._ray.summary(head, last.ray_job_id)))
        except Unavailable as error:
            log.info("summary not available", job=job.id, cause=error.message)
            return plan

    def _follow(self, job: Job) -> None:
        if job.attempt is not None and job.attempt.submitted_at is not None:
            self._keeper.follow(job)

    def _forget(self, key: JobId) -> None:
        task = self._preparing.pop(key, None)
        if task is not None:
            task.cancel()

    # --- recording --------------------------------------------------------------------------------------------------

    def _record(self, tx: Transaction, facts: JobFacts, plan: JobPlan) -> bool:
        """Write what was found; False when a user changed the wish meanwhile and it must be looked at anew."""
        before = facts.job
        stored = tx.jobs.lock(before.id)
        if stored is None:
            return True
        if (stored.goal, stored.status, stored.settled) != (before.goal, before.status, before.settled):
            return False
        if not may(before.status, plan.job.status):
            raise RuntimeError(f"no edge from {before.status} to {plan.job.status}")
        now = self._clock.now()
        if plan.effect in (Effect.START_CLUSTER, Effect.RELEASE):
            _change_cluster(tx, plan, now, self._installation.gpus)
        job = plan.job
        if _used_up(before, plan):
            open_job = replace(job, settled=False)
            job = replace(job, usage=usage_now(tx, open_job, facts.instance, now, self._installation.gpus))
        tx.jobs.save(job)
        if plan.why is not None:
            warning = plan.job.status in (JobStatus.FAILED, JobStatus.TIMEOUT) or plan.why in ("Retried", "LogLost")
            told = plan.told or plan.job.message
            last = plan.job.attempts[-1].instance if plan.job.attempts else None
            tx.events.add(
                Event(
                    before.cluster, before.workspace, now, ACTOR, plan.why, told, warning, last or None, job=before.id
                )
            )
        return True


def _used_up(before: Job, plan: JobPlan) -> bool:
    """Whether what it has taken up to now is stored: at its end, and with each run of its own cluster."""
    if plan.effect in (Effect.START_CLUSTER, Effect.RELEASE):
        return True
    ended = plan.effect is Effect.NONE and plan.job.status.final and not before.status.final
    return ended or (plan.job.spec.temporary and plan.job.settled and not before.settled)


def _later(job: Job, now: datetime) -> timedelta:
    """When to fetch code again: ever later, but the deadline is not missed for it."""
    pause = min(max((now - job.submitted_at) / 4, timedelta(seconds=1)), LONGEST_BACKOFF)
    return pause if job.deadline_at is None else min(pause, max(NOW, job.deadline_at - now))


def _change_cluster(tx: Transaction, plan: JobPlan, now: datetime, gpus: Mapping[str, GpuType]) -> None:
    """The wish for the temporary cluster, if it is not there yet."""
    cluster = tx.clusters.lock(plan.job.cluster)
    if cluster is None or cluster.wanted is Wanted.DELETED:
        return
    if plan.effect is Effect.START_CLUSTER:
        if cluster.state in (State.STOPPED, State.ERROR):  # else a user has just started it
            begin(tx, cluster, ACTOR, now, gpus)
    else:
        remove(tx, cluster, ACTOR, now)


def _load(tx: Transaction, key: JobId) -> tuple[Job, Cluster | None, Instance | None, bool] | None:
    job = tx.jobs.find(key)
    if job is None:
        return None
    cluster = tx.clusters.find_any(job.cluster)
    instance = tx.instances.get(cluster.instance) if cluster is not None and cluster.instance is not None else None
    starting = instance is not None and cluster is not None and cluster.state is State.STARTING
    waiting = starting and instance is not None and is_waiting(tx.claims.of_instance(instance.id))
    return job, cluster, instance, waiting


def _head(instance: Instance | None) -> Head | None:
    if instance is None or instance.endpoints is None:
        return None
    return Head(instance.id, instance.endpoints.dashboard, instance.ray_token)
