"""What a run's job runs on: a cluster that the task names, one that it shares with others that want the same, or its own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from heliostat.domain.errors import AlreadyExists, Conflict, InvalidSpec, NotFound
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.jobs import Job
from heliostat.domain.records import Cluster
from heliostat.domain.spec import ClusterSpec, Lifetime
from heliostat.domain.states import State, Wanted
from heliostat.services import Caller, JobWish, Services

from ..errors import FAILED_PRECONDITION, NOT_FOUND, FlyteError

if TYPE_CHECKING:
    from ..translate.task import TaskWish

POOL_LABEL = "heliostat/flyte-pool"
"""Of a cluster that tasks share: the fingerprint of what they want."""
_FINGERPRINT = 40
"""Characters of it in the label."""
_TRIES = 3
"""Between the choice of a shared cluster and the submission it may stop, and another server may make it."""
_PATHS = (
    ("cluster_spec.head", "custom.rayCluster.headGroupSpec"),
    ("cluster_spec.workers[", "custom.rayCluster.workerGroupSpec["),
    ("cluster_spec.autoscaling", "custom.rayCluster.autoscalerOptions"),
    ("cluster_spec", "custom.rayCluster"),
    ("runtime_env", "custom.runtimeEnvYaml"),
)
"""Native paths, and where in a task template that comes from."""
UNUSED = timedelta(days=7)
"""A shared cluster that is stopped and was last started so long ago goes when another one is made."""
_LOOKED_AT = 100
"""Stopped clusters that are looked at for that, the newest."""
_NAME = "flyte-"
log = structlog.get_logger()


class Clusters:
    def __init__(self, services: Services) -> None:
        self._jobs = services.jobs
        self._clusters = services.clusters
        self._clock = services.clock

    async def submit(self, caller: Caller, workspace: WorkspaceId, task: TaskWish, wish: JobWish, token: str) -> Job:
        """Submit the job on what the task shall run on. With the ``token`` of an earlier submission: the job of then.

        Raises HeliostatError; an InvalidSpec names its path in the task template.
        """
        try:
            if task.existing is not None:
                return await self._on_existing(caller, workspace, task.existing, wish, token)
            if task.reuse_idle is not None:
                job = await self._on_shared(caller, workspace, task, task.reuse_idle, wish, token)
                if job is not None:
                    return job
            own = replace(wish, cluster_spec=task.cluster, shutdown_after_finish=True, ttl=task.ttl)
            return await self._jobs.submit(caller, workspace, own, client_token=token)
        except InvalidSpec as error:
            error.path = _told_path(error.path or "")
            raise

    async def _on_existing(
        self, caller: Caller, workspace: WorkspaceId, name: str, wish: JobWish, token: str
    ) -> Job:  # fmt: skip
        from ..translate.task import CLUSTER_LABEL, choice_path

        path = choice_path(CLUSTER_LABEL)
        try:
            cluster = await self._clusters.resolve(caller, workspace, name)
            there = replace(wish, cluster=cluster)
            return await self._jobs.submit(caller, workspace, there, accept_starting=True, client_token=token)
        except NotFound as error:
            if error.kind != "cluster":
                raise
            remedy = "name one of this workspace (heliostat cluster list), or leave the label out"
            raise FlyteError(NOT_FOUND, f"there is no cluster {name!r}; {remedy}", path) from error
        except Conflict as error:
            raise FlyteError(FAILED_PRECONDITION, error.message, path) from error

    async def _on_shared(
        self, caller: Caller, workspace: WorkspaceId, task: TaskWish, idle: timedelta, wish: JobWish, token: str
    ) -> Job | None:
        """None when the shared cluster cannot be had just now: it is on its way down, or the name is somebody else's."""
        spec = _shared(task.cluster, task.fingerprint, idle)
        for _ in range(_TRIES):
            try:
                cluster = await self._shared_cluster(caller, workspace, spec)
                if cluster is None:
                    break
                there = replace(wish, cluster=cluster.id)
                return await self._jobs.submit(caller, workspace, there, accept_starting=True, client_token=token)
            except (Conflict, AlreadyExists) as error:
                log.info("shared cluster not to be had yet", cluster=spec.name, cause=error.message)
            except NotFound as error:
                if error.kind != "cluster":
                    raise
        return None

    async def _shared_cluster(self, caller: Caller, workspace: WorkspaceId, spec: ClusterSpec) -> Cluster | None:
        """The shared cluster, up or coming up; made or started when need be. Raises Conflict, AlreadyExists and NotFound
        when another has changed it meanwhile."""
        try:
            id = await self._clusters.resolve(caller, workspace, spec.name)
        except NotFound as error:
            if error.kind != "cluster":
                raise
            made = await self._clusters.create(caller, workspace, spec, start=True)
            await self._remove_unused(caller, workspace)
            return made
        found = (await self._clusters.get(caller, workspace, id)).cluster
        ours = found.spec.labels.get(POOL_LABEL) == spec.labels[POOL_LABEL]
        if not ours or found.wanted is Wanted.DELETED or found.state is State.STOPPING:
            return None
        if found.state in (State.STOPPED, State.ERROR):
            return await self._clusters.start(caller, workspace, id)
        return found

    async def _remove_unused(self, caller: Caller, workspace: WorkspaceId) -> None:
        """Tasks change, and with them what they want: nobody comes back to the clusters of older ones."""
        stopped = await self._clusters.list(
            caller, workspace, limit=_LOOKED_AT, states=(State.STOPPED,), name_contains=_NAME
        )
        for row in (view.cluster for view in stopped):
            if POOL_LABEL in row.spec.labels and self._clock.now() - (row.started_at or row.created_at) > UNUSED:
                with suppress(Conflict, NotFound):  # another has just started or removed it
                    await self._clusters.delete(caller, workspace, row.id)


def _shared(spec: ClusterSpec, fingerprint: str, idle: timedelta) -> ClusterSpec:
    label = fingerprint[:_FINGERPRINT]
    return replace(
        spec,
        name=f"{_NAME}{fingerprint[:12]}",
        labels={**spec.labels, POOL_LABEL: label},
        lifetime=Lifetime(idle_stop_seconds=max(1, int(idle.total_seconds()))),
    )


def _told_path(path: str) -> str:
    from ..translate.task import QUEUE_LABEL, choice_path

    if path.endswith(".queue"):
        return choice_path(QUEUE_LABEL)
    if path.startswith(("head", "workers[", "autoscaling")):  # of a cluster that is shared
        path = f"cluster_spec.{path}"
    for native, own in _PATHS:
        if path.startswith(native):
            return f"template.{own}{path[len(native) :]}"
    return path
