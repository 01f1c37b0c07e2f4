"""Ray's API on the heads of the simulated engine's world.

Faults are set in the world: ``unreachable`` heads, a ``job_behaviour``, ``job_starts`` that tell a doubled run, ``forget``
for a head that lost its memory; :meth:`World.job` finds a job that a test wants to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from heliostat.domain.activity import RayActivity
from heliostat.domain.engine import GroupPlan, NodeObservation, NodeState
from heliostat.domain.errors import Unavailable
from heliostat.domain.ray_jobs import RaySighting, RayStatus, RaySubmission, WorkSummary, failure_cause
from heliostat.engines.simulated import World
from heliostat.engines.simulated_instances import SimulatedInstance
from heliostat.engines.simulated_jobs import SimulatedJob, by_its_words

from .base import PACKAGE_LIMIT, SUMMARY_NAMES, Head, RayRefused, too_large
from .words import masked, refusal, sentence

WAITS = "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom resources) to become available."


class SimulatedRay:
    """The RayApi protocol over a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def close(self) -> None:
        pass

    async def submit(self, head: Head, submission: RaySubmission) -> None:
        known = self._head(head)
        jobs = self.world.jobs.setdefault(head.instance, {})
        if submission.submission_id in jobs:
            return
        script = (self.world.job_behaviour or by_its_words)(submission)
        wrong = script.refusal or next(_mistakes(submission), "")
        if wrong:
            raise RayRefused(refusal(masked(wrong, submission.runtime_env)))
        self.world.job_starts[submission.submission_id] += 1
        job = SimulatedJob(submission, script, self.world.time())
        jobs[submission.submission_id] = job
        if script.summary is not None:
            job.ray_job_id = f"{len(self.world.job_starts) + 1:02x}000000"
        self._prepare(head, known, job)

    async def sighting(self, head: Head, submission_id: str) -> RaySighting | None:
        known = self._head(head)
        job = self.world.jobs.get(head.instance, {}).get(submission_id)
        if job is None:
            return None
        self._go_on(head, known, job)
        job.looks += 1
        ended, begun = job.status.terminal, job.status is not RayStatus.PENDING
        return RaySighting(
            status=job.status,
            message=masked(sentence(masked(_text(job), job.submission.runtime_env)), job.submission.runtime_env),
            error_type=job.error_type,
            exit_code=job.exit_code,
            started_at=job.accepted_at if ended else None,
            ended_at=job.ended_at if ended else None,
            ray_job_id=job.ray_job_id if begun else "",
            driver_node=job.driver_node,
            cause=failure_cause(job.error_type, job.exit_code, job.text) if job.status is RayStatus.FAILED else None,
        )

    async def stop(self, head: Head, submission_id: str) -> None:
        self._head(head)
        job = self.world.jobs.get(head.instance, {}).get(submission_id)
        if job is not None:
            job.stop_asked = True

    async def wake(self, head: Head, submission_id: str) -> None:
        known = self._head(head)
        if submission_id not in self.world.jobs.get(head.instance, {}):
            return
        for job in self.world.jobs[head.instance].values():
            if job.status is RayStatus.RUNNING and not _driver_lives(known, job):
                text = "Unexpected error occurred: failed to get job supervisor."
                job.end(RayStatus.FAILED, text, "JOB_SUPERVISOR_ACTOR_START_FAILURE", at=self.world.time())

    async def has_package(self, head: Head, name: str) -> bool:
        self._head(head)
        return name in self.world.packages.get(head.instance, {})

    async def put_package(self, head: Head, name: str, path: Path) -> None:
        self._head(head)
        size = await asyncio.to_thread(lambda: path.stat().st_size)
        if size > PACKAGE_LIMIT:
            raise too_large(size)
        self.world.packages.setdefault(head.instance, {})[name] = await asyncio.to_thread(path.read_bytes)

    async def summary(self, head: Head, ray_job_id: str) -> WorkSummary:
        self._head(head)
        jobs = self.world.jobs.get(head.instance, {}).values()
        found = next((job.script.summary for job in jobs if ray_job_id and job.ray_job_id == ray_job_id), None)
        if found is None:
            return WorkSummary()
        more = max(len(found.tasks), len(found.actors)) > SUMMARY_NAMES
        return WorkSummary(found.tasks[:SUMMARY_NAMES], found.actors[:SUMMARY_NAMES], truncated=found.truncated or more)

    async def activity(self, head: Head) -> RayActivity:
        """What the world says, and the jobs that have not ended; of those that have drivers, their actors."""
        known = self._head(head)
        jobs = self.world.jobs.get(head.instance, {})
        for job in jobs.values():
            self._go_on(head, known, job)
        open_jobs = [job for job in jobs.values() if not job.status.terminal]
        drivers = [job.script.summary for job in open_jobs if job.status is RayStatus.RUNNING and job.script.summary]
        actors = sum(sum(row.states.values()) for summary in drivers for row in summary.actors)
        said = self.world.activity.get(head.instance, RayActivity())
        return replace(
            said,
            submissions=said.submissions + len(open_jobs),
            drivers=said.drivers + len(drivers),
            actors=said.actors + actors,
        )

    # --- how a job goes ------------------------------------------------------------------------------------------------

    def _head(self, head: Head) -> SimulatedInstance:
        known = self.world.instances.get(head.instance)
        if known is None or known.dying or head.instance in self.world.unreachable or _head_node(known) is None:
            raise Unavailable(f"the head {head.address} cannot be reached")
        token = known.plan.ray_token
        if token is not None and (head.token is None or not token.matches(head.token.reveal())):
            raise Unavailable(f"the head {head.address} does not accept its token")
        return known

    def _prepare(self, head: Head, known: SimulatedInstance, job: SimulatedJob) -> None:
        """What Ray finds wrong of what it has accepted."""
        folder = str(job.submission.runtime_env.get("working_dir") or "")
        scheme, _, name = folder.rpartition("://")
        if folder and not scheme:
            said = f"'{folder} is not a valid path.'. Full traceback:\nValueError: {folder} is not a valid path."
            text = f"Failed to start supervisor actor {job.submission.submission_id}: {said}"
            job.end(RayStatus.FAILED, text, "JOB_SUPERVISOR_ACTOR_START_FAILURE", at=self.world.time())
        elif scheme == "gcs" and name not in self.world.packages.get(head.instance, {}):
            text = f"runtime_env setup failed: Failed to download runtime_env file package {folder} from the GCS"
            job.end(RayStatus.FAILED, text, "RUNTIME_ENV_SETUP_FAILURE", at=self.world.time())

    def _go_on(self, head: Head, known: SimulatedInstance, job: SimulatedJob) -> None:
        """What has happened since the last look."""
        if job.status is RayStatus.PENDING:
            node = _place(known, job.submission)
            waits = job.script.pending_looks is None or job.looks < job.script.pending_looks
            if node is None or waits:
                return
            job.status, job.looks, job.driver_node = RayStatus.RUNNING, 0, node.ray_node_id
            name = f"job-driver-{job.submission.submission_id}.log"
            began = f"Running entrypoint for job {job.submission.submission_id}: {job.submission.entrypoint}\n"
            self.world.write_log(head.instance, node.node, name, began + job.script.output)
        elif job.status is RayStatus.RUNNING and _driver_lives(known, job):
            now = self.world.time()
            if job.stop_asked:
                job.end(RayStatus.STOPPED, "Job was intentionally stopped.", at=now)
            elif job.script.running_looks is not None and job.looks >= job.script.running_looks:
                _end_as_written(job)
                job.ended_at = now


def _end_as_written(job: SimulatedJob) -> None:
    script = job.script
    if script.exit_code == 0:
        job.finish()
    elif script.message or script.exit_code is None:
        text = script.message or "Job supervisor actor died: The actor died unexpectedly."
        job.end(RayStatus.FAILED, text, script.error_type or "JOB_SUPERVISOR_ACTOR_DIED", script.exit_code)
    else:
        job.finish(script.exit_code, script.output)


def _mistakes(submission: RaySubmission) -> Iterator[str]:
    """What Ray's own check of a submission finds."""
    for value in submission.metadata.values():
        if not isinstance(value, str):
            yield f"metadata values must be strings, got {type(value)}"


def _text(job: SimulatedJob) -> str:
    return WAITS if job.status is RayStatus.PENDING else job.text or "Job is currently running."


def _alive(known: SimulatedInstance) -> list[NodeObservation]:
    return [node for node in known.nodes.values() if node.state is NodeState.ALIVE]


def _head_node(known: SimulatedInstance) -> NodeObservation | None:
    return next((node for node in _alive(known) if node.kind == "head"), None)


def _driver_lives(known: SimulatedInstance, job: SimulatedJob) -> bool:
    return any(node.ray_node_id == job.driver_node for node in _alive(known))


def _place(known: SimulatedInstance, submission: RaySubmission) -> NodeObservation | None:
    """The node for an entry point: the head, unless it asks for resources; then the first that has them, workers first."""
    asked = submission.cpus, submission.gpus, submission.memory_bytes, *submission.resources.values()
    if not any(asked):
        return _head_node(known)
    shapes = {("head", known.plan.head.name): known.plan.head}
    shapes |= {("worker", group.name): group for group in known.plan.workers}
    nodes = sorted(_alive(known), key=lambda node: node.kind == "head")
    return next((node for node in nodes if _fits(submission, shapes.get((node.kind, node.group)))), None)


def _fits(submission: RaySubmission, shape: GroupPlan | None) -> bool:
    if shape is None:
        return False
    custom = shape.ray_params.get("resources") or {}
    return (
        (submission.cpus or 0) <= shape.cpus
        and (submission.gpus or 0) <= (shape.gpu.count if shape.gpu else 0)
        and (submission.memory_bytes or 0) <= shape.memory_bytes
        and all(amount <= custom.get(name, 0) for name, amount in submission.resources.items())
    )
