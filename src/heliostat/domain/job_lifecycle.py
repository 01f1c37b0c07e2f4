"""What to do next with a job: facts in, plan out. No I/O, so that every case is a table test.

The facts are the stored job, the cluster that it runs on, and what Ray says of its open attempt. A plan has at most one
effect, which may be repeated after a crash at any point; the status that it names is recorded together with it. It is
level-based, as the life of clusters is (:mod:`lifecycle`).

Why nothing is lost or doubled: an attempt is stored before Ray hears of it, under a submission id of ours, and Ray takes
an id once. Whoever comes after a crash finds the open attempt and submits it again, which changes nothing if Ray has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .ids import InstanceId
from .job_states import JobClusterState, JobGoal, JobStatus
from .jobs import Attempt, Job, submission_id
from .ray_jobs import Absence, Cause, RaySighting, RayStatus, cause_of
from .records import Cluster, Instance
from .states import State, Wanted

AT_ONCE = timedelta(0)
ATTENTION = timedelta(seconds=2)
"""How often a job that waits for something else is looked at; changes of its cluster wake it sooner."""
KEPT_CLUSTER_AGE = timedelta(hours=24)
STOP_PATIENCE = timedelta(seconds=15)
"""How long Ray is given to confirm a stop. A PENDING job that cannot be scheduled never confirms it (Ray contract, section 5)."""
STRAY_PATIENCE = timedelta(minutes=1)
"""How long a submission may be on its way that was sent and never answered: a head that is slow may begin it after all."""
QUEUED = timedelta(seconds=30)
"""How long one whose cluster waits for its queues is left alone; its cluster wakes it."""
LONGEST_BACKOFF = timedelta(minutes=1)


class Effect(StrEnum):
    """The one thing to do."""

    NONE = "none"
    PREPARE = "prepare"
    """Fetch the code."""
    START_CLUSTER = "start cluster"
    """Begin an instance of the temporary cluster."""
    SUBMIT = "submit"
    """Hand the open attempt to Ray."""
    STOP = "stop"
    """Ask Ray to stop the last attempt."""
    WAKE_RAY = "wake ray"
    """Have the head's job manager, which a new head starts at the first need only, look after the jobs of the old one."""
    KEEP = "keep"
    """Bring the logs of ended attempts, the summary of tasks and actors home."""
    RELEASE = "release"
    """Remove the temporary cluster."""


@dataclass(frozen=True)
class JobFacts:
    job: Job
    cluster: Cluster | None
    """None once it is gone for good."""
    instance: Instance | None
    """The cluster's present run."""
    ray: RaySighting | Absence = Absence.NOT_ASKED
    """Of the last attempt."""
    head: str = ""
    """Ray's node id of the present head; empty while unknown."""
    waiting: bool = False
    """The cluster's run waits for room in its queues."""


@dataclass(frozen=True)
class JobPlan:
    effect: Effect
    job: Job
    """The job as it shall be recorded, once the effect has succeeded."""
    again: timedelta | None
    """When to look again at the latest; None = only when woken."""
    why: str | None = None
    """Reason of the event that goes with it."""
    told: str = ""
    """The event's message; the job's own if empty."""


def asks_ray(job: Job, cluster: Cluster | None) -> bool:
    """Whether what Ray says of the last attempt matters now."""
    if not job.attempts or cluster is None or cluster.state not in (State.RUNNING, State.STOPPING):
        return False
    last = job.attempts[-1]
    if cluster.instance != last.instance:
        return False
    return (last.open and (last.submitted_at is not None or job.goal is not JobGoal.RUN)) or last.loose


def decide(facts: JobFacts, now: datetime, kept_cluster_age: timedelta = KEPT_CLUSTER_AGE) -> JobPlan:
    """The next step of a job."""
    job = replace(facts.job, cluster_state=cluster_state(facts.job, facts.cluster, waiting=facts.waiting))
    facts = replace(facts, job=job)
    if job.status.final:
        return _after_the_end(facts, now, kept_cluster_age)
    if job.goal is JobGoal.RUN and job.deadline_at is not None and now >= job.deadline_at and not _ended_in_time(facts):
        message = f"its deadline of {span(job.spec.deadline)} passed; it is being stopped"
        return JobPlan(Effect.NONE, replace(job, goal=JobGoal.TIMEOUT, message=message), AT_ONCE, "DeadlinePassed")
    plan = _towards_the_end(facts, now) if job.goal is not JobGoal.RUN else _onwards(facts, now)
    return replace(plan, again=_in_time(plan, now))


def _ended_in_time(facts: JobFacts) -> bool:
    """It was over before its deadline, which has passed since without anybody looking: a server was down."""
    seen, deadline = facts.ray, facts.job.deadline_at
    if not isinstance(seen, RaySighting) or not seen.status.terminal:
        return False
    return seen.ended_at is not None and deadline is not None and seen.ended_at <= deadline


# --- a job that shall run -----------------------------------------------------------------------------------------------


def _onwards(facts: JobFacts, now: datetime) -> JobPlan:
    job, cluster = facts.job, facts.cluster
    if job.prepared is None:
        return JobPlan(Effect.PREPARE, job, AT_ONCE)
    if cluster is None or cluster.wanted is not Wanted.RUNNING:
        seen = facts.ray
        if job.attempt is not None and isinstance(seen, RaySighting) and seen.status is RayStatus.SUCCEEDED:
            return _ended(facts, job.attempt, seen, now)  # just before its cluster was stopped
        return _without_cluster(facts, now)
    if cluster.state is State.ERROR:
        return _with_failed_cluster(facts, cluster, now)
    attempt = job.attempt
    if attempt is not None and attempt.instance != cluster.instance:
        return _failed(facts, now, Cause.INFRASTRUCTURE, "its cluster was restarted under it")
    if facts.waiting:
        return JobPlan(Effect.NONE, replace(job, message=f"its cluster {cluster.message}"), QUEUED)
    if cluster.state is not State.RUNNING or facts.instance is None:
        waiting = "" if cluster.message in ("", "ok") else f": {cluster.message}"
        return _wait(job, f"its cluster is {cluster.state}{waiting}", ATTENTION)
    if attempt is None:
        return _begin_attempt(facts, now)
    if attempt.submitted_at is None:
        # Another head may have come since the attempt was opened: this is the one that gets it.
        given = replace(attempt, submitted_at=now, head=facts.head or attempt.head)
        return JobPlan(Effect.SUBMIT, _with(job, given), AT_ONCE, "SubmittedToRay")
    return _watched(facts, attempt, now)


def _begin_attempt(facts: JobFacts, now: datetime) -> JobPlan:
    job, instance = facts.job, facts.instance
    assert instance is not None  # the caller has looked
    if job.not_before is not None and now < job.not_before:
        return _wait(job, job.message, job.not_before - now)
    number = len(job.attempts) + 1
    attempt = Attempt(number, submission_id(job.id, number), instance.id, facts.head, now)
    begun = replace(job, attempts=(*job.attempts, attempt), message="it is handed to Ray", not_before=None)
    return JobPlan(Effect.NONE, replace(begun, status=_at_least_pending(job)), AT_ONCE)


def _watched(facts: JobFacts, attempt: Attempt, now: datetime) -> JobPlan:
    """The plan of a job that Ray was given."""
    job, seen = facts.job, facts.ray
    age = now - attempt.created_at
    if seen is Absence.UNKNOWN:
        return _failed(
            facts, now, Cause.INFRASTRUCTURE, "the head lost its memory of the job: it died and came back empty"
        )
    if isinstance(seen, Absence):
        return _wait(job, "its cluster does not answer just now", ATTENTION)
    if seen.status.terminal:
        return _ended(facts, attempt, seen, now)
    if facts.head and attempt.head and facts.head != attempt.head:
        return _new_head(facts, attempt, seen, now)
    started = attempt.started_at or seen.started_at
    runs = seen.status is RayStatus.RUNNING
    attempt = replace(
        attempt, status=seen.status, ray_job_id=seen.ray_job_id, driver_node=seen.driver_node,
        started_at=(started or now) if runs else None, head=attempt.head or facts.head,
    )  # fmt: skip
    if not runs:
        waiting = seen.message or "Ray prepares its environment or waits for resources"
        return _wait(_with(job, attempt), waiting, pace(age))
    job = _with(job, attempt)
    running = replace(job, status=JobStatus.RUNNING, message="runs", started_at=job.started_at or _began(job))
    return JobPlan(Effect.NONE, running, pace(age), None if job.status is JobStatus.RUNNING else "Running")


def _new_head(facts: JobFacts, attempt: Attempt, seen: RaySighting, now: datetime) -> JobPlan:
    """The head died under the job and another one has come: a driver on it is dead, though Ray still lists it."""
    if not seen.driver_node or seen.driver_node == attempt.head:
        return _failed(facts, now, Cause.INFRASTRUCTURE, "the head of its cluster died, and its entry point with it")
    moved = _with(facts.job, replace(attempt, head=facts.head))
    return JobPlan(Effect.WAKE_RAY, moved, AT_ONCE, "HeadLost", "the head died; the entry point runs on a worker")


def _ended(facts: JobFacts, attempt: Attempt, seen: RaySighting, now: datetime) -> JobPlan:
    """Ray says that it is over."""
    if seen.status is RayStatus.FAILED:
        message = seen.message or "its entry point failed"
        return _failed(facts, now, cause_of(seen), message, seen)
    if seen.status is RayStatus.STOPPED:
        return _failed(facts, now, Cause.USER_ERROR, "it was stopped through Ray's own API", seen, retry=False)
    closed = _closed(attempt, now, seen)
    return _finish(_with(facts.job, closed), JobStatus.SUCCEEDED, "its entry point ended with exit code 0", now)


def _without_cluster(facts: JobFacts, now: datetime) -> JobPlan:
    """The cluster is not, or is no longer, to run."""
    job, cluster = facts.job, facts.cluster
    if (
        cluster is not None
        and job.spec.temporary
        and cluster.wanted is Wanted.STOPPED
        and cluster.started_at is None
        and job.attempt is None
    ):
        if job.not_before is not None and now < job.not_before:
            return _wait(job, job.message, job.not_before - now)
        begun = replace(job, message="its cluster is being made")
        return JobPlan(Effect.START_CLUSTER, begun, ATTENTION, "ClusterRequested")
    gone = "was deleted" if cluster is None or cluster.wanted is Wanted.DELETED else "was stopped"
    return _failed(facts, now, Cause.INFRASTRUCTURE, f"its cluster {gone}", retry=False)


def _with_failed_cluster(facts: JobFacts, cluster: Cluster, now: datetime) -> JobPlan:
    """The cluster is in Error. That it is counts as one failure per run of it; a granted retry makes another run."""
    job = facts.job
    last = job.attempts[-1] if job.attempts else None
    counted = last is not None and not last.open and last.instance == cluster.instance
    if not counted:
        return _failed(facts, now, Cause.INFRASTRUCTURE, f"its cluster failed: {cluster.message}")
    if not job.spec.temporary:
        return _finish(job, JobStatus.FAILED, f"its cluster failed: {cluster.message}", now, Cause.INFRASTRUCTURE)
    if job.not_before is not None and now < job.not_before:
        return _wait(job, job.message, job.not_before - now)
    begun = replace(job, message="its cluster is being made anew")
    return JobPlan(Effect.START_CLUSTER, begun, ATTENTION, "ClusterRequested")


def _failed(
    facts: JobFacts, now: datetime, cause: Cause, message: str, seen: RaySighting | None = None, *, retry: bool = True
) -> JobPlan:
    """The open attempt, or the making of the cluster, has failed: try again, or end."""
    job, attempt = facts.job, facts.job.attempt
    if attempt is None:
        attempt = _never_begun(facts, now)
        job = replace(job, attempts=(*job.attempts, attempt))
    job = _with(job, replace(_closed(attempt, now, seen), cause=cause, message=message))
    failures = job.failures
    if not retry or not job.spec.retries.allow(failures):
        return _finish(job, JobStatus.FAILED, message, now, cause)
    delay = backoff(len(failures))
    text = f"attempt {len(failures)} failed ({message}); it is tried again"
    again = replace(job, status=JobStatus.PENDING, message=text, not_before=now + delay)
    return JobPlan(Effect.NONE, again, delay, "Retried", text)


def _never_begun(facts: JobFacts, now: datetime) -> Attempt:
    """An attempt that did not reach Ray because its cluster did not come up; it is counted as any other."""
    job, cluster = facts.job, facts.cluster
    number = len(job.attempts) + 1
    instance = (cluster.instance if cluster is not None else None) or InstanceId("")
    return Attempt(number, submission_id(job.id, number), instance, "", now, log_complete=True)


# --- a job that shall end -----------------------------------------------------------------------------------------------


def _towards_the_end(facts: JobFacts, now: datetime) -> JobPlan:
    """Stop what runs, if anything does; then the job is Cancelled, or Timeout."""
    job, attempt, seen = facts.job, facts.job.attempt, facts.ray
    if attempt is None:
        return _stopped(job, now, "nothing of it had been handed to Ray")
    lost = (
        facts.cluster is None
        or facts.cluster.instance != attempt.instance
        or facts.cluster.state not in (State.RUNNING, State.STARTING)
    )
    if lost:
        return _stopped(_with(job, _closed(attempt, now, None)), now, "what it ran on is gone")
    if seen is Absence.UNKNOWN:
        closed = replace(_closed(attempt, now, None), loose=attempt.submitted_at is None)
        return _stopped(_with(job, closed), now, "Ray does not know it")
    if isinstance(seen, Absence):
        return _wait(job, "it is being stopped, but its cluster does not answer just now", ATTENTION)
    if seen.status.terminal:
        closed = replace(_closed(attempt, now, seen), message=seen.message)
        told = "Ray has stopped it"
        if seen.status is not RayStatus.STOPPED:
            when = "before" if attempt.stop_asked_at is None else "while it was being stopped"
            told = f"it ended by itself {when} ({seen.status})"
        return _stopped(_with(job, closed), now, told)
    if attempt.stop_asked_at is None:
        return JobPlan(Effect.STOP, _with(job, replace(attempt, stop_asked_at=now)), pace(AT_ONCE), "StopRequested")
    waited = now - attempt.stop_asked_at
    if waited < STOP_PATIENCE:
        return _wait(job, job.message, pace(waited))
    if seen.status is RayStatus.RUNNING:
        asked = replace(attempt, stop_asked_at=now)
        return JobPlan(Effect.STOP, _with(job, asked), pace(AT_ONCE), "StopRepeated", "Ray has not stopped it yet")
    loose = replace(_closed(attempt, now, None), loose=True)
    return _stopped(_with(job, loose), now, "Ray had not begun it")


def _stopped(job: Job, now: datetime, told: str) -> JobPlan:
    if job.goal is JobGoal.TIMEOUT:
        return _finish(job, JobStatus.TIMEOUT, f"its deadline of {span(job.spec.deadline)} passed; {told}", now)
    return _finish(job, JobStatus.CANCELLED, f"cancelled; {told}", now)


def _began(job: Job) -> datetime | None:
    """When an attempt first ran, as Ray tells it: one that ended between two looks was never seen running."""
    return next((row.started_at for row in job.attempts if row.started_at is not None), None)


def _finish(job: Job, status: JobStatus, message: str, now: datetime, cause: Cause | None = None) -> JobPlan:
    last = job.attempts[-1] if job.attempts else None
    ended = replace(
        job, status=status, message=message, cause=cause, exit_code=last.exit_code if last else None, not_before=None,
        ended_at=(last.ended_at if last else None) or now,
        started_at=job.started_at or _began(job),
    )  # fmt: skip
    return JobPlan(Effect.NONE, ended, AT_ONCE, status.value, message)


def failed_before_ray(job: Job, message: str, now: datetime, cause: Cause) -> JobPlan:
    """The end of a job whose code cannot be had, or which Ray will never take: no other attempt would do better."""
    attempt = job.attempt
    if attempt is not None:
        closed = replace(
            attempt, ended_at=now, status=RayStatus.FAILED, cause=cause, message=message, log_complete=True
        )
        job = _with(job, closed)
    return _finish(job, JobStatus.FAILED, message, now, cause)


# --- a job that has ended -----------------------------------------------------------------------------------------------


def _after_the_end(facts: JobFacts, now: datetime, kept_cluster_age: timedelta) -> JobPlan:
    """Bring home what shall be kept, remove what was made for it."""
    job, cluster, seen = facts.job, facts.cluster, facts.ray
    if job.settled:
        return JobPlan(Effect.NONE, job, None)
    last = job.attempts[-1] if job.attempts else None
    if last is not None and last.loose:
        if _never_comes(last, cluster, seen, now):
            return JobPlan(Effect.NONE, _with(job, replace(last, loose=False)), AT_ONCE)
        if isinstance(seen, RaySighting) and seen.status is RayStatus.RUNNING:
            return JobPlan(Effect.STOP, job, ATTENTION, "StopRepeated", "Ray began it after all; it is stopped again")
    if not job.logs_complete:
        kept = replace(job, attempts=tuple(replace(row, log_complete=True) for row in job.attempts))
        return JobPlan(Effect.KEEP, kept, AT_ONCE)
    if not job.spec.temporary:
        if last is not None and last.loose:
            return JobPlan(Effect.NONE, job, ATTENTION if seen is Absence.UNKNOWN else LONGEST_BACKOFF)
        return JobPlan(Effect.NONE, replace(job, settled=True), None)
    if cluster is None:
        return _without_temporary_cluster(job, now)
    if cluster.wanted is Wanted.DELETED:
        return JobPlan(Effect.NONE, job, ATTENTION)
    assert job.ended_at is not None  # it is final
    due = job.ended_at + (job.spec.ttl if job.spec.shutdown_after_finish else kept_cluster_age)
    if cluster.started_at is None or (job.goal is JobGoal.CANCEL and not job.spec.shutdown_after_finish):
        due = now
    if now < due:
        return JobPlan(Effect.NONE, job, due - now)
    return JobPlan(Effect.RELEASE, job, ATTENTION, "ClusterReleased", "its temporary cluster is being removed")


def _never_comes(last: Attempt, cluster: Cluster | None, seen: RaySighting | Absence, now: datetime) -> bool:
    """Whether an attempt that was given up cannot turn up any more."""
    if cluster is None or cluster.instance != last.instance:
        return True
    if seen is Absence.UNKNOWN:
        return last.submitted_at is not None or now - (last.ended_at or now) >= STRAY_PATIENCE
    return isinstance(seen, RaySighting) and seen.status.terminal


def _without_temporary_cluster(job: Job, now: datetime) -> JobPlan:
    gone = replace(job, cluster_state=JobClusterState.DELETED, released_at=job.released_at or now, settled=True)
    return JobPlan(Effect.NONE, gone, None, "ClusterGone", "nothing of its temporary cluster is left")


# --- small things -------------------------------------------------------------------------------------------------------


def pace(age: timedelta) -> timedelta:
    """How soon to ask Ray again about something that began ``age`` ago: eagerly at first."""
    seconds = age.total_seconds()
    return timedelta(seconds=0.2 if seconds < 10 else 0.5 if seconds < 60 else 1 if seconds < 600 else 2)


def span(time: timedelta | None) -> str:
    """A time in words: ``30 s``, ``1.5 h``."""
    seconds = 0.0 if time is None else time.total_seconds()
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length, 1):g} {unit}"
    return f"{seconds:g} s"


def backoff(failures: int) -> timedelta:
    """How long to wait before the next attempt: 1 s, doubled with every failure."""
    return min(timedelta(seconds=2 ** min(failures - 1, 10)), LONGEST_BACKOFF)


def _wait(job: Job, message: str, again: timedelta) -> JobPlan:
    return JobPlan(Effect.NONE, replace(job, status=_at_least_pending(job), message=message), again)


def _at_least_pending(job: Job) -> JobStatus:
    """Pending once something was begun for it."""
    return JobStatus.PENDING if job.status is JobStatus.SUBMITTED else job.status


def _with(job: Job, attempt: Attempt) -> Job:
    """The job with its last attempt replaced."""
    return replace(job, attempts=(*job.attempts[:-1], attempt))


def _closed(attempt: Attempt, now: datetime, seen: RaySighting | None) -> Attempt:
    if seen is None:
        return replace(
            attempt, ended_at=now, status=RayStatus.FAILED if attempt.stop_asked_at is None else RayStatus.STOPPED
        )
    ended = max(attempt.created_at, min(seen.ended_at or now, now))  # Ray's clock may be another machine's
    ran = seen.exit_code is not None or seen.status is RayStatus.SUCCEEDED  # else its environment may have failed
    return replace(
        attempt, ended_at=ended, status=seen.status, exit_code=seen.exit_code, message=seen.message,
        started_at=attempt.started_at or (seen.started_at if ran else None), ray_job_id=seen.ray_job_id or attempt.ray_job_id,
        driver_node=seen.driver_node or attempt.driver_node,
    )  # fmt: skip


def cluster_state(job: Job, cluster: Cluster | None, *, waiting: bool = False) -> JobClusterState:
    """The state of what a job runs on, in the job's words (EMR contract, section 7.3); ``waiting`` for its queues."""
    if job.released_at is not None or cluster is None:
        return JobClusterState.DELETED
    if job.spec.temporary and cluster.started_at is None:
        return JobClusterState.SUBMITTED if cluster.wanted is not Wanted.DELETED else JobClusterState.DELETED
    if cluster.state is State.STARTING:
        return JobClusterState.SUBMITTED if waiting else JobClusterState.PENDING
    if cluster.state is State.RUNNING or job.spec.temporary:
        return JobClusterState.RUNNING
    return JobClusterState.DELETED


def _in_time(plan: JobPlan, now: datetime) -> timedelta | None:
    """Not later than the deadline."""
    deadline = plan.job.deadline_at
    if deadline is None or plan.job.goal is not JobGoal.RUN or plan.job.status.final:
        return plan.again
    left = max(AT_ONCE, deadline - now)
    return left if plan.again is None else min(plan.again, left)
