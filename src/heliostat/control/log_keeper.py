"""Brings logs home: what drivers print while they run, and what nodes have written before they go.

While a job runs, the log of its driver is *followed* by a task of its own that copies what is new several times a second.
When the job has ended, and when an instance is about to be destroyed, the rest is *kept*: read up to the end and marked as
complete. Following is a comfort that may stop at any time; keeping is what nothing is lost by. How a file is copied so that
a crash neither loses nor doubles a byte is told in :mod:`log_copy`.

Of a cluster whose logs are not to be collected nothing is brought home, and nothing waits for the storage: a row without a file
tells readers why. It may be switched at any time. What is there when it is switched on is collected whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from heliostat.domain.engine import NodeLog
from heliostat.domain.errors import NOT_COLLECTED, HeliostatError
from heliostat.domain.ids import InstanceId, JobId
from heliostat.domain.jobs import Attempt, Job, LogFile, driver_log
from heliostat.domain.masking import encoded
from heliostat.domain.records import Instance
from heliostat.engines.base import Engine
from heliostat.services import JobFilter, News
from heliostat.services.seams import Clock
from heliostat.storage import Storage
from heliostat.store import Store, Transaction

from .log_copy import GONE, PIECE_BYTES, CopyTools, LogCopy, noted
from .log_secrets import of_given, of_instance, of_job
from .node_log_choice import SMALLEST, Chosen, NodeLogLimits, choose

log = structlog.get_logger()
DRIVER = "job-driver-"
"""Ray's name of a driver's log: this, the submission id, ``.log``."""
BETWEEN = 0.4
"""Share of a second between two looks at a log that is followed; what it takes to store a piece comes on top."""
CUT_OFF = "its cluster was removed while it ran: what it wrote last may be missing"
SIDE_BY_SIDE = 4
"""Node logs of one instance."""
PAGE = 500


@dataclass(frozen=True)
class LogSettings:
    poll: timedelta = timedelta(seconds=BETWEEN)
    """How long a reader waits for what a driver has printed, at most and roughly."""
    patient_poll: timedelta = timedelta(seconds=1)
    """The same before the first line, of a job that has waited for a minute."""
    check: timedelta = timedelta(seconds=30)
    """How often it is looked up whether a log that does not grow is still to be followed."""
    first_retry: timedelta = timedelta(milliseconds=500)
    """After a failure; doubles up to ``last_retry``."""
    last_retry: timedelta = timedelta(seconds=15)
    piece_bytes: int = PIECE_BYTES
    """What is copied of one file before others have their turn."""
    node_logs: NodeLogLimits = NodeLogLimits()


class _Pace:
    """How one follower takes its time: looks now and then, checks rarely, comes back ever later after failures."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._delay = settings.first_retry
        self._began = self._checked = self._now()

    @property
    def search(self) -> timedelta:
        """Until the next look for a log that is not there."""
        return self._settings.poll if self._now() - self._began < 60 else self._settings.patient_poll

    def retry(self) -> timedelta:
        delay, self._delay = self._delay, min(2 * self._delay, self._settings.last_retry)
        return delay

    def went_well(self) -> None:
        self._delay = self._settings.first_retry

    def check_is_due(self) -> bool:
        """Whether it was idle for so long that it is worth looking whether anybody wants it to go on."""
        if self._now() - self._checked < self._settings.check.total_seconds():
            return False
        self._checked = self._now()
        return True

    def was_busy(self) -> None:
        self._checked = self._now()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class _Follower:
    task: asyncio.Task[None]
    instance: InstanceId


@dataclass
class _Turn:
    """Of those who bring one log to its end: one at a time, and nobody follows it meanwhile."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


@dataclass
class _Look:
    """What was last seen of an instance's drivers: jobs that wait for their logs share one look."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    again_at: float = 0.0
    drivers: dict[str, NodeLog] = field(default_factory=dict)


class LogKeeper:
    """One per server, used in one event loop. What it holds in memory is harmless to lose."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        storage: Storage,
        news: News,
        clock: Clock,
        settings: LogSettings = LogSettings(),
    ) -> None:
        self._tools = CopyTools(store, engine, storage, news, clock, settings.piece_bytes)
        self._settings = settings
        self._followers: dict[str, _Follower] = {}
        """By submission id."""
        self._turns: dict[str, _Turn] = {}
        self._looks: dict[InstanceId, _Look] = {}
        self._failing: set[str] = set()
        """Submission ids whose logs cannot be collected just now."""
        self._closed = False

    def follow(self, job: Job) -> None:
        """Begin, or go on, to collect the driver's log of the job's open attempt. Cheap; may be called at every look."""
        attempt = job.attempt
        if attempt is None or attempt.log_complete or self._closed:
            return
        key = attempt.submission_id
        if key in self._followers or key in self._turns:
            return
        task = asyncio.create_task(self._follow(job, attempt), name=f"log of {key}")
        self._followers[key] = _Follower(task, attempt.instance)
        task.add_done_callback(lambda done: self._forget(key, done))

    async def keep(self, job: Job) -> None:
        """Bring the logs of all attempts to their ends. Repeatable. Raises Unavailable when that cannot be done now."""
        for attempt in job.attempts:
            if not attempt.log_complete and attempt.instance:
                await self._keep_driver(job, attempt)

    async def keep_instance(self, instance: Instance) -> None:
        """Everything of an instance that shall outlive it, as far as it is written. Repeatable. Raises Unavailable."""
        for job in await self._tools.store.read(lambda tx: tx.jobs.on_cluster(instance.cluster)):
            for attempt in job.attempts:
                if attempt.instance == instance.id and not attempt.log_complete:
                    await self._keep_driver(job, attempt, CUT_OFF if attempt.open else "")
        await self._keep_nodes(instance)

    async def close(self) -> None:
        """Follow no longer."""
        self._closed = True
        tasks = [follower.task for follower in self._followers.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- following --------------------------------------------------------------------------------------------------

    async def _follow(self, job: Job, attempt: Attempt) -> None:
        """The boundary at which whatever goes wrong is logged and tried again."""
        pace = _Pace(self._settings)
        while True:
            try:
                if await self._follow_on(job, attempt, pace):
                    return
                pause = pace.search
            except (HeliostatError, OSError) as error:
                self._failed(attempt, str(error))
                pause = pace.retry()
            except Exception:
                log.exception("log cannot be followed", job=job.id)
                pause = pace.retry()
            await asyncio.sleep(pause.total_seconds())

    async def _follow_on(self, job: Job, attempt: Attempt, pace: _Pace) -> bool:
        """Until there is nothing more to follow (True), or while the file is not there (False)."""
        if not await self._tools.collected(attempt.instance):
            return True  # it is asked again with the next look at the job
        source = await self._driver(attempt)
        copy = None if source is None else await self._driver_copy(job, attempt, source)
        if copy is None:
            self._went_well(attempt, pace)
            return pace.check_is_due() and not await self._wanted(job.id, attempt)
        while not copy.over:
            taken = await copy.step()
            self._went_well(attempt, pace)
            if taken is None:
                return False
            if taken:
                pace.was_busy()
            elif pace.check_is_due() and not await self._wanted(job.id, attempt):
                return True
            # A whole piece: there may be more. All others have their turn before the next.
            await asyncio.sleep(0 if taken == self._tools.piece_bytes else self._settings.poll.total_seconds())
        return True

    async def _wanted(self, id: JobId, attempt: Attempt) -> bool:
        """Whether the attempt still runs and nobody else has brought its log home."""

        def work(tx: Transaction) -> bool:
            job = tx.jobs.find(id)
            known = job is not None and job.attempt is not None and job.attempt.submission_id == attempt.submission_id
            row = tx.log_files.get(id, driver_log(id, attempt.number)) if known else None
            return known and not (row is not None and row.complete)

        return await self._tools.store.read(work)

    async def _driver(self, attempt: Attempt) -> NodeLog | None:
        """The driver's log, as one of the jobs on the instance has seen it a moment ago at most."""
        look = self._looks.setdefault(attempt.instance, _Look())
        clock = asyncio.get_running_loop().time
        async with look.lock:
            if clock() >= look.again_at:
                began = clock()
                look.drivers = _drivers(await self._tools.engine.log_files(attempt.instance))
                # Where looking takes long (many thousand files) it is done less often.
                look.again_at = clock() + max(0.5 * self._settings.poll.total_seconds(), 10 * (clock() - began))
        return look.drivers.get(attempt.submission_id)

    def _forget(self, key: str, task: asyncio.Task[None]) -> None:
        follower = self._followers.pop(key)
        self._failing.discard(key)
        if all(other.instance != follower.instance for other in self._followers.values()):
            self._looks.pop(follower.instance, None)
        if not task.cancelled():
            task.exception()  # nobody waits for it; asyncio would complain that it was not looked at

    def _failed(self, attempt: Attempt, cause: str) -> None:
        if not self._failing:
            log.warning("logs cannot be collected just now", submission=attempt.submission_id, cause=cause)
        self._failing.add(attempt.submission_id)

    def _went_well(self, attempt: Attempt, pace: _Pace) -> None:
        pace.went_well()
        self._works_again(attempt.submission_id)

    def _works_again(self, key: str) -> None:
        if key in self._failing:
            self._failing.remove(key)
            if not self._failing:
                log.info("logs are collected again")

    # --- keeping drivers' logs --------------------------------------------------------------------------------------

    async def _keep_driver(self, job: Job, attempt: Attempt, note: str = "") -> None:
        """The log of an attempt up to its end, if it has one."""
        async with self._alone(attempt.submission_id):
            name = driver_log(job.id, attempt.number)
            row, collected = await self._tools.row_if_collected(job.id, name, attempt.instance)
            if row is not None and row.complete:
                return
            if not collected:
                await self._leave(row or LogFile(job.id, job.workspace, name, 0, 0, self._tools.clock.now()))
                return
            source = _drivers(await self._tools.engine.log_files(attempt.instance)).get(attempt.submission_id)
            if source is not None:
                copy = await self._driver_copy(job, attempt, source)
                await copy.finish(source.size, note)
                if copy.unwanted:
                    await self._leave(copy.file)
            elif row is not None:
                await self._complete(row)

    async def _driver_copy(self, job: Job, attempt: Attempt, source: NodeLog) -> LogCopy:
        instance, given = await self._tools.store.read(
            lambda tx: (tx.instances.get(attempt.instance), tx.secrets.given([job.id]) if job.spec.secrets else [])
        )
        secrets = of_job(job) | of_given(given) | (of_instance(instance) if instance is not None else frozenset())
        new = LogFile(job.id, job.workspace, driver_log(job.id, attempt.number), 0, 0, self._tools.clock.now())
        row = await self._tools.row_or_new(new)
        return LogCopy(self._tools, attempt.instance, source, row, encoded(secrets))

    async def _complete(self, row: LogFile) -> None:
        """Of a file whose source is gone. If somebody else is faster, that is as good."""
        ended = replace(row, complete=True, note=noted(row.note, GONE), modified_at=self._tools.clock.now())
        await self._tools.advance(ended, row.source_offset)

    async def _leave(self, row: LogFile) -> None:
        """Of a file that is not to be collected: have readers told so, and of what there is of it that this is all."""
        note = f"{NOT_COLLECTED}: what came later is missing" if row.size else NOT_COLLECTED
        found = await self._tools.row_or_new(row)
        left = replace(found, complete=True, note=noted(found.note, note), modified_at=self._tools.clock.now())
        if not found.complete:
            await self._tools.advance(left, found.source_offset)

    @contextlib.asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(key, _Turn())
        turn.waiting += 1
        try:
            follower = self._followers.get(key)
            if follower is not None:
                follower.task.cancel()
                await asyncio.wait([follower.task])
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[key]

    # --- keeping nodes' logs ----------------------------------------------------------------------------------------

    async def _keep_nodes(self, instance: Instance) -> None:
        """The logs of the nodes that matter. A job whose record was deleted while the cluster ran can no longer be masked."""
        if not await self._tools.collected(instance.id):
            for row in await self._begun(instance):
                await self._leave(row)
            return
        found = await self._tools.engine.log_files(instance.id)
        choice = choose(found, self._settings.node_logs)
        owner, secrets = await self._tools.store.read(lambda tx: (_owner(tx, instance), _secrets(tx, instance)))
        known = encoded(secrets)
        waiting = iter(choice.files)

        async def work(files: Iterator[Chosen]) -> None:
            for chosen in files:
                await self._keep_node_log(instance, owner, chosen, known)

        ended = await asyncio.gather(*(work(waiting) for _ in range(SIDE_BY_SIDE)), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        for row in await self._begun(instance):
            await self._complete(row)
        log.info("node logs kept", instance=instance.id, files=len(choice.files), left_out=choice.left_out)

    async def _begun(self, instance: Instance) -> list[LogFile]:
        """The logs of its nodes of which a part is at home."""
        rows = await self._tools.store.read(lambda tx: tx.log_files.of(_owner(tx, instance)))
        return [row for row in rows if not row.complete and row.name.startswith(f"nodes/{instance.id}")]

    async def _keep_node_log(self, instance: Instance, owner: str, chosen: Chosen, secrets: frozenset[bytes]) -> None:
        source = chosen.log
        name = f"nodes/{source.node}/{source.name}"
        async with self._alone(f"{owner}/{name}"):
            row = await self._tools.row(owner, name)
            if row is not None and row.complete:
                return
            begin = await self._line(instance.id, source, chosen.begin)
            new = LogFile(owner, instance.workspace, name, 0, begin, self._tools.clock.now(), note=chosen.note)
            if row is None:
                row = await self._tools.row_or_new(new)
            elif row.source_offset < begin and await self._tools.advance(new, row.source_offset):
                row = new  # since an earlier try it has grown beyond what that one would have kept
            copy = LogCopy(self._tools, instance.id, source, row, secrets, begin)
            await copy.finish(source.size)
            if copy.unwanted:
                await self._leave(copy.file)

    async def _line(self, instance: InstanceId, source: NodeLog, begin: int) -> int:
        """Where the first whole line from ``begin`` on begins: half a line might be half a secret, which no masker finds."""
        if not begin:
            return 0
        head = await self._tools.engine.read_log(instance, source, begin, SMALLEST) or b""
        return begin + head.find(b"\n") + 1


def _drivers(logs: list[NodeLog]) -> dict[str, NodeLog]:
    """The drivers' logs by submission id. Should two nodes have one of a name, the longer one is meant: a submission begins
    once."""
    found: dict[str, NodeLog] = {}
    for row in sorted(logs, key=lambda row: (row.size, row.node)):
        if row.name.startswith(DRIVER) and row.name.endswith(".log"):
            found[row.name.removeprefix(DRIVER).removesuffix(".log")] = row
    return found


def _owner(tx: Transaction, instance: Instance) -> str:
    """Whose folder the logs of the nodes go to: the job's, if its cluster was made for it."""
    cluster = tx.clusters.find_any(instance.cluster)
    return cluster.job if cluster is not None and cluster.job is not None else instance.id


def _secrets(tx: Transaction, instance: Instance) -> frozenset[str]:
    """Of the instance and of all jobs that ran on it: their environments stand in the logs of the nodes."""
    found = of_instance(instance)
    on_cluster = JobFilter(cluster=instance.cluster)
    last: JobId | None = None
    while page := tx.jobs.page(instance.workspace, on_cluster, limit=PAGE, before=last):
        here = [job for job in page if any(attempt.instance == instance.id for attempt in job.attempts)]
        for job in here:
            found |= of_job(job)
        found |= of_given(tx.secrets.given([job.id for job in here if job.spec.secrets]))
        last = page[-1].id
    return found
