"""Everything that works in the background of one server, put together: the loops of clusters, queues and jobs, the watch
over what goes on, the collecting of logs, the fetching of code, the meter of usage, and retention."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from heliostat.domain.ids import ClusterId, JobId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.engines.base import Engine
from heliostat.ray_api import RayApi
from heliostat.ray_api.patience import PatientRay
from heliostat.services import JobTools, News
from heliostat.services.seams import Attendant, Clock
from heliostat.services.traffic import Traffic
from heliostat.storage import Storage
from heliostat.storage.blobs import Blobs
from heliostat.storage.fetch import FetchPolicy
from heliostat.store import Store

from .activity import ActivitySettings, ActivityWatch
from .admission import Admission
from .attendance import Attendance
from .code_delivery import CodeDelivery
from .job_reconciler import JobReconciler, JobSettings
from .leases import Anyone, Leases, SoleServer, StoredLeases
from .log_keeper import LogKeeper
from .loop import ControlLoop, Loop, LoopSettings
from .meter import Meter, MeterSettings
from .reconciler import Reconciler
from .retention import Retention, RetentionSettings


@dataclass(frozen=True)
class WorkSettings:
    shared: bool = False
    """Whether other servers work on the same database."""
    clusters: LoopSettings = LoopSettings()
    queues: LoopSettings = LoopSettings(workers=2)
    jobs: LoopSettings = LoopSettings(workers=16)
    activities: LoopSettings = LoopSettings()
    documents: LoopSettings = LoopSettings()
    job: JobSettings = JobSettings()
    activity: ActivitySettings = ActivitySettings()
    meter: MeterSettings = MeterSettings()
    fetch: FetchPolicy = field(default_factory=FetchPolicy)
    retention: RetentionSettings = RetentionSettings()
    max_package_bytes: int = 100 << 20
    data_url: str = ""
    """Root of what tasks share with the server (:class:`~heliostat.services.DataService`)."""


class Work:
    """Made once per server. ``run`` works until cancelled; ``close`` ends what is left."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        storage: Storage,
        ray: RayApi,
        installation: Installation,
        clock: Clock,
        scratch: Path,
        settings: WorkSettings = WorkSettings(),
    ) -> None:
        self._store = store
        news = News()
        ray = PatientRay(ray)
        self.keeper = LogKeeper(store, engine, storage, news, clock)
        code = CodeDelivery(store, storage, ray, settings.fetch, scratch, clock)
        self._reconciler = Reconciler(
            store,
            engine,
            installation,
            clock,
            self.keeper,
            self._wake_others,
            settings.job.log_patience,
            self._wake_queues,
        )
        self.queues = Loop(
            store,
            Admission(store, clock, self._wake_cluster),
            Anyone() if settings.shared else SoleServer(),  # who makes room is who fills it, without delay
            settings.queues,
        )
        self.clusters = ControlLoop(
            store, engine, self._reconciler, _leases(store, clock, "cluster", settings), settings.clusters
        )
        self._job_reconciler = JobReconciler(
            store, ray, self.keeper, code, installation, clock, self.clusters.wake, settings.job, self._job_moved
        )
        self.jobs = Loop(store, self._job_reconciler, _leases(store, clock, "job", settings), settings.jobs)
        self.traffic = Traffic(store, clock)
        self.activities = Loop(
            store,
            ActivityWatch(store, ray, clock, self.clusters.wake, self.traffic.sessions, settings.activity),
            _leases(store, clock, "activity", settings),
            settings.activities,
        )
        self.attendance = Attendance(store, clock)
        self.documents = Loop(store, self.attendance, _leases(store, clock, "document", settings), settings.documents)
        self._meter = Meter(store, clock, settings.meter)
        self._retention = Retention(store, storage, clock, settings.retention, self.attendance.remove_expired)
        self._blobs = Blobs(settings.fetch.options)
        self.tools = JobTools(
            storage,
            code,
            self.jobs.wake,
            scratch,
            news,
            settings.max_package_bytes,
            self.documents.wake,
            self._blobs,
            settings.data_url,
        )

    def attend(self, attendant: Attendant) -> None:
        """Have the documents of its kind looked after; before :meth:`run`."""
        self.attendance.add(attendant)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.clusters.run(), name="clusters")
            group.create_task(self.queues.run(), name="queues")
            group.create_task(self.jobs.run(), name="jobs")
            group.create_task(self.activities.run(), name="activities")
            group.create_task(self.documents.run(), name="documents")
            group.create_task(self._meter.run(), name="meter")
            group.create_task(self._retention.run(), name="retention")

    async def close(self) -> None:
        await self._job_reconciler.close()
        await self._reconciler.close()
        await self.keeper.close()
        await self.traffic.close()
        await self._blobs.close()

    def _wake_queues(self, workspace: WorkspaceId) -> None:
        self.queues.wake(workspace)

    def _wake_cluster(self, cluster: ClusterId) -> None:
        self.clusters.wake(cluster)

    def _job_moved(self, job: JobId, cluster: ClusterId) -> None:
        self.activities.wake(cluster)
        self.attendance.job_changed(job)
        self.tools.news.tell(job)

    async def _wake_others(self, cluster: ClusterId) -> None:
        """A cluster has changed: its jobs may go on, it may have come to run, and somebody may wait for that."""
        self.tools.news.tell(cluster)
        self.activities.wake(cluster)
        for job in await self._store.read(lambda tx: tx.jobs.unsettled_on(cluster)):
            self.jobs.wake(job)


def _leases(store: Store, clock: Clock, kind: str, settings: WorkSettings) -> Leases:
    return StoredLeases(store, clock, kind=kind) if settings.shared else SoleServer()
