"""What is decided for a job, over the whole product of facts, and case by case."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from heliostat.domain.ids import ClusterId, InstanceId, JobId, PrincipalId, WorkspaceId
from heliostat.domain.job_lifecycle import (
    AT_ONCE,
    STOP_PATIENCE,
    STRAY_PATIENCE,
    Effect,
    JobFacts,
    JobPlan,
    asks_ray,
    backoff,
    decide,
    failed_before_ray,
    span,
)
from heliostat.domain.job_states import JOB_EDGES, JobClusterState, JobGoal, JobStatus, may
from heliostat.domain.jobs import Attempt, Job, JobSpec, Prepared, Retries
from heliostat.domain.quantities import GIB
from heliostat.domain.ray_jobs import Absence, Cause, RaySighting, RayStatus
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec, NodeShape
from heliostat.domain.states import COHERENT, State, Wanted

T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = T0 + timedelta(seconds=30)
WORKSPACE = WorkspaceId("w-0123456789abcdef")
CLUSTER = ClusterId("ray-0123456789abcdef")
RUN = InstanceId(f"{CLUSTER}-aaaaaaaa")
OTHER_RUN = InstanceId(f"{CLUSTER}-bbbbbbbb")
JOB = JobId("rj-0123456789abcdef")
SPEC = ClusterSpec("c", "ray-1.3.1", NodeShape("root_queue", Decimal(1), GIB))
ANN = PrincipalId("1")


def job(**changes: object) -> Job:
    """A job on a temporary cluster, just accepted, its code at hand."""
    spec = JobSpec("j", "python main.py", SPEC)
    plain = Job(
        JOB, WORKSPACE, spec, JobStatus.SUBMITTED, "accepted", JobGoal.RUN, CLUSTER, JobClusterState.SUBMITTED, ANN, "ann",
        T0, prepared=Prepared(),
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def specified(base: Job, **changes: object) -> Job:
    return replace(base, spec=replace(base.spec, **changes))  # type: ignore[arg-type]


def cluster(
    state: State, wanted: Wanted = Wanted.RUNNING, instance: InstanceId | None = RUN, **changes: object
) -> Cluster:
    plain = Cluster(
        CLUSTER, WORKSPACE, SPEC, 1, wanted, state, "ok", False, instance, ANN, "ann", ANN, "ann", T0, T0,
        started_at=T0 if instance else None, job=JOB,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def attempt(**changes: object) -> Attempt:
    plain = Attempt(1, JOB, RUN, "head-1", T0, submitted_at=T0)
    return replace(plain, **changes)  # type: ignore[arg-type]


INSTANCE = Instance(RUN, CLUSTER, WORKSPACE, SPEC, 1, T0, Secret("s"), Secret("r"))
UP = cluster(State.RUNNING)
RUNS = RaySighting(RayStatus.RUNNING, started_at=T0, driver_node="head-1")


def facts(
    it: Job, on: Cluster | None, seen: RaySighting | Absence = Absence.NOT_ASKED, head: str = "head-1"
) -> JobFacts:
    present = on.instance if on is not None else None
    return JobFacts(it, on, replace(INSTANCE, id=present) if present else None, seen, head)


def plan(it: Job, on: Cluster | None, seen: RaySighting | Absence = Absence.NOT_ASKED, head: str = "head-1") -> JobPlan:
    return decide(facts(it, on, seen, head), NOW)


# --- the whole product ----------------------------------------------------------------------------------------------------


def clusters() -> Iterator[Cluster | None]:
    yield None
    yield cluster(State.STOPPED, Wanted.STOPPED, None)
    for wanted, states in COHERENT.items():
        for state, run in itertools.product(states, (RUN, OTHER_RUN)):
            yield cluster(state, wanted, None if state is State.STOPPED else run)


def jobs() -> Iterator[Job]:
    attempts = (
        (),
        (attempt(submitted_at=None),),
        (attempt(),),
        (attempt(stop_asked_at=T0),),
        (attempt(stop_asked_at=NOW),),
        (attempt(ended_at=T0, status=RayStatus.FAILED, cause=Cause.INFRASTRUCTURE),),
        (attempt(ended_at=T0, log_complete=True),),
        (attempt(ended_at=T0, log_complete=True, loose=True),),
    )
    for rows, status, retries, temporary, prepared, deadline in itertools.product(
        attempts,
        JobStatus,
        (0, 3),
        (True, False),
        (Prepared(), None),
        (None, timedelta(seconds=10), timedelta(hours=1)),
    ):
        goals = {JobStatus.CANCELLING: [JobGoal.CANCEL], JobStatus.CANCELLED: [JobGoal.CANCEL]}.get(
            status, [JobGoal.TIMEOUT] if status is JobStatus.TIMEOUT else [JobGoal.RUN, JobGoal.TIMEOUT]
        )
        if status.final and rows and rows[-1].open:
            continue  # the end of a job closes its attempt
        for goal in goals:
            it = job(status=status, goal=goal, attempts=rows, prepared=prepared, ended_at=T0 if status.final else None)
            yield specified(
                it, cluster=None if temporary else CLUSTER, retries=Retries(retries), deadline=deadline
            )  # fmt: skip


SEEN: tuple[RaySighting | Absence, ...] = (
    Absence.UNKNOWN,
    Absence.UNREACHABLE,
    *(RaySighting(status, exit_code=0 if status is RayStatus.SUCCEEDED else None) for status in RayStatus),
    RUNS,
)


def test_every_case_has_a_plan_that_the_table_of_edges_allows_and_that_makes_sense() -> None:
    count = 0
    for it, on in itertools.product(jobs(), list(clusters())):
        for seen in SEEN if asks_ray(it, on) else (Absence.NOT_ASKED,):
            for head in ("head-1", "head-2"):
                made = decide(facts(it, on, seen, head), NOW)
                count += 1
                case = (it.status, it.goal, it.attempts, on and (on.state, on.wanted), seen, made)
                assert may(it.status, made.job.status), case
                assert made.again is not None or made.job.settled, case
                if it.status.final:
                    assert made.job.status is it.status, case
                    assert made.effect not in (Effect.SUBMIT, Effect.START_CLUSTER, Effect.PREPARE), case
                if made.job.status.final:
                    assert made.job.attempt is None, case
                    assert made.job.ended_at is not None, case
                    assert made.job.message, case
                if made.effect is Effect.SUBMIT:
                    assert on is not None and on.state is State.RUNNING and it.attempt is not None, case
                    assert on.instance == it.attempt.instance, case
                    assert it.goal is JobGoal.RUN, case
                if made.effect is Effect.START_CLUSTER:
                    assert it.spec.temporary and it.attempt is None, case
                if made.effect is Effect.RELEASE:
                    assert it.spec.temporary and it.status.final and it.logs_complete, case
                if made.effect is Effect.STOP:
                    assert it.goal is not JobGoal.RUN or it.attempts[-1].loose, case
                if made.job.settled and it.spec.temporary:
                    assert on is None, case
                assert sum(row.open for row in made.job.attempts) <= 1, case
    assert count > 10_000


def test_a_plan_that_changes_nothing_and_waits_for_nothing_does_not_come_at_once() -> None:
    """Else the loop would spin."""
    for it, on in itertools.product(jobs(), list(clusters())):
        for seen in SEEN if asks_ray(it, on) else (Absence.NOT_ASKED,):
            made = decide(facts(it, on, seen), NOW)
            same = replace(made.job, cluster_state=it.cluster_state, message=it.message) == it
            if made.effect is Effect.NONE and same and made.again is not None:
                assert made.again > AT_ONCE or made.job.message != it.message, (it, on, seen, made)


def test_every_edge_of_the_table_is_taken_by_a_decision_or_a_user() -> None:
    taken = set()
    for it, on in itertools.product(jobs(), list(clusters())):
        for seen in SEEN if asks_ray(it, on) else (Absence.NOT_ASKED,):
            taken.add((it.status, decide(facts(it, on, seen), NOW).job.status))
    edges = {(before, after) for before, row in JOB_EDGES.items() for after in row}
    users = {(before, JobStatus.CANCELLING) for before in (JobStatus.SUBMITTED, JobStatus.PENDING, JobStatus.RUNNING)}
    assert edges - taken - users == set()


# --- case by case ---------------------------------------------------------------------------------------------------------


def test_the_way_of_a_job_on_a_cluster_of_its_own() -> None:
    new = job(prepared=None)
    idle = cluster(State.STOPPED, Wanted.STOPPED, None)
    assert plan(new, idle).effect is Effect.PREPARE
    assert plan(new, idle).job.cluster_state is JobClusterState.SUBMITTED

    begun = plan(job(), idle)
    assert (begun.effect, begun.job.status) == (Effect.START_CLUSTER, JobStatus.SUBMITTED)

    full = cluster(State.STARTING, message="waits for queue root_queue: needs 4 CPU, 2 of 8 is free")
    queued = decide(replace(facts(begun.job, full), waiting=True), NOW)
    assert (queued.effect, queued.job.status) == (Effect.NONE, JobStatus.SUBMITTED)
    assert queued.job.cluster_state is JobClusterState.SUBMITTED
    assert queued.job.message == f"its cluster {full.message}"

    waiting = plan(queued.job, cluster(State.STARTING))
    assert (waiting.effect, waiting.job.status) == (Effect.NONE, JobStatus.PENDING)
    assert waiting.job.cluster_state is JobClusterState.PENDING

    opened = plan(waiting.job, UP)
    assert opened.effect is Effect.NONE
    assert opened.job.attempt == Attempt(1, JOB, RUN, "head-1", NOW)

    handed = plan(opened.job, UP)
    assert handed.effect is Effect.SUBMIT
    assert handed.job.attempt is not None and handed.job.attempt.submitted_at == NOW

    running = plan(handed.job, UP, RUNS)
    assert (running.job.status, running.why, running.job.started_at) == (JobStatus.RUNNING, "Running", T0)

    done = RaySighting(RayStatus.SUCCEEDED, exit_code=0, started_at=T0, ended_at=NOW + timedelta(seconds=5))
    ended = decide(facts(running.job, UP, done), NOW + timedelta(seconds=7))
    assert (ended.job.status, ended.job.exit_code) == (JobStatus.SUCCEEDED, 0)
    assert ended.job.ended_at == NOW + timedelta(seconds=5)
    assert ended.job.run_seconds(NOW) == 35

    kept = plan(ended.job, UP)
    assert kept.effect is Effect.KEEP and kept.job.logs_complete
    released = decide(facts(kept.job, UP), NOW + timedelta(seconds=7))
    assert released.effect is Effect.RELEASE
    going = plan(released.job, cluster(State.STOPPING, Wanted.DELETED))
    assert (going.effect, going.job.settled) == (Effect.NONE, False)
    gone = plan(going.job, None)
    assert (gone.job.settled, gone.job.cluster_state, gone.job.released_at) == (True, JobClusterState.DELETED, NOW)


def test_a_head_with_a_clock_of_its_own_ends_no_job_in_the_future_or_before_its_beginning() -> None:
    it = job(attempts=(attempt(),), status=JobStatus.RUNNING)
    for told, recorded in ((NOW + timedelta(hours=1), NOW), (T0 - timedelta(hours=1), T0)):
        assert plan(it, UP, RaySighting(RayStatus.SUCCEEDED, ended_at=told)).job.ended_at == recorded


def test_the_cluster_stays_for_its_ttl() -> None:
    ended = job(status=JobStatus.SUCCEEDED, ended_at=NOW - timedelta(seconds=10))
    early = plan(specified(ended, ttl=timedelta(seconds=60)), UP)
    assert (early.effect, early.again) == (Effect.NONE, timedelta(seconds=50))
    assert plan(specified(ended, ttl=timedelta(seconds=10)), UP).effect is Effect.RELEASE


def test_a_cluster_that_shall_stay_stays_until_a_cancel_or_its_age() -> None:
    ended = specified(job(status=JobStatus.SUCCEEDED, ended_at=T0), shutdown_after_finish=False)
    assert plan(ended, UP).effect is Effect.NONE
    assert plan(replace(ended, goal=JobGoal.CANCEL), UP).effect is Effect.RELEASE
    assert decide(facts(ended, UP), T0 + timedelta(hours=24)).effect is Effect.RELEASE


def test_the_deadline_counts_from_submission_and_stops_what_runs() -> None:
    late = specified(job(attempts=(attempt(),), status=JobStatus.RUNNING), deadline=timedelta(seconds=30))
    passed = plan(late, UP, RUNS)
    assert (passed.job.goal, passed.job.status, passed.again) == (JobGoal.TIMEOUT, JobStatus.RUNNING, AT_ONCE)
    stopping = plan(passed.job, UP, RUNS)
    assert stopping.effect is Effect.STOP
    stopped = plan(stopping.job, UP, RaySighting(RayStatus.STOPPED, ended_at=NOW))
    assert stopped.job.status is JobStatus.TIMEOUT
    assert "30 s" in stopped.job.message


def test_a_job_that_ended_in_time_while_nobody_looked_is_no_timeout() -> None:
    late = specified(job(attempts=(attempt(),), status=JobStatus.RUNNING), deadline=timedelta(seconds=20))
    in_time = RaySighting(RayStatus.SUCCEEDED, exit_code=0, ended_at=T0 + timedelta(seconds=10))
    ended = plan(late, UP, in_time).job
    assert (ended.status, ended.ended_at) == (JobStatus.SUCCEEDED, in_time.ended_at)
    assert plan(late, UP, replace(in_time, ended_at=NOW)).job.goal is JobGoal.TIMEOUT
    again = plan(specified(late, retries=Retries(1)), UP, replace(in_time, status=RayStatus.FAILED, exit_code=1)).job
    assert again.status is JobStatus.PENDING
    assert plan(again, UP).job.goal is JobGoal.TIMEOUT


def test_a_submission_that_may_still_be_on_its_way_when_it_is_cancelled_is_watched_for() -> None:
    unanswered = job(status=JobStatus.CANCELLING, goal=JobGoal.CANCEL, attempts=(attempt(submitted_at=None),))
    ended = plan(specified(unanswered, cluster=CLUSTER), UP, Absence.UNKNOWN).job
    assert ended.status is JobStatus.CANCELLED and asks_ray(ended, UP)
    assert plan(ended, UP, RUNS).effect is Effect.STOP
    kept = plan(ended, UP, Absence.UNKNOWN)
    assert kept.effect is Effect.KEEP and not plan(kept.job, UP, Absence.UNKNOWN).job.settled
    later = decide(facts(kept.job, UP, Absence.UNKNOWN), NOW + STRAY_PATIENCE)
    assert plan(later.job, UP).job.settled


def test_a_job_is_looked_at_again_when_its_deadline_comes() -> None:
    it = specified(job(), deadline=timedelta(seconds=31))
    assert plan(it, cluster(State.STARTING)).again == timedelta(seconds=1)


def test_a_cancel_before_anything_ran_ends_at_once_and_the_cluster_goes() -> None:
    cancelled = plan(job(status=JobStatus.CANCELLING, goal=JobGoal.CANCEL), cluster(State.STARTING))
    assert cancelled.job.status is JobStatus.CANCELLED
    assert plan(cancelled.job, cluster(State.STARTING)).effect is Effect.RELEASE


def test_a_pending_job_that_ray_never_stops_is_given_up_but_watched() -> None:
    asked = attempt(stop_asked_at=NOW - STOP_PATIENCE)
    it = job(status=JobStatus.CANCELLING, goal=JobGoal.CANCEL, attempts=(asked,))
    it = specified(it, cluster=CLUSTER)
    ended = plan(it, UP, RaySighting(RayStatus.PENDING))
    assert ended.job.status is JobStatus.CANCELLED
    assert ended.job.attempts[-1].loose
    again = plan(ended.job, UP, RUNS)
    assert again.effect is Effect.STOP
    kept = plan(ended.job, UP, RaySighting(RayStatus.PENDING))
    assert kept.effect is Effect.KEEP and not kept.job.settled
    assert not plan(kept.job, UP, RaySighting(RayStatus.PENDING)).job.settled
    over = plan(kept.job, UP, RaySighting(RayStatus.STOPPED))
    assert plan(over.job, UP).job.settled


def test_a_new_head_ends_a_driver_that_was_on_the_old_one_though_ray_lists_it() -> None:
    it = job(attempts=(attempt(),), status=JobStatus.RUNNING)
    ended = plan(it, UP, RUNS, head="head-2")
    assert (ended.job.status, ended.job.cause) == (JobStatus.FAILED, Cause.INFRASTRUCTURE)
    assert "head" in ended.job.message


def test_a_job_that_a_new_head_was_given_is_not_ended_for_the_death_of_the_old_one() -> None:
    opened = job(attempts=(attempt(submitted_at=None),), status=JobStatus.PENDING)
    given = plan(opened, UP, head="head-2")
    assert given.effect is Effect.SUBMIT
    assert plan(given.job, UP, RaySighting(RayStatus.PENDING), head="head-2").job.status is JobStatus.PENDING
    dead = plan(given.job, UP, replace(RUNS, driver_node="head-2"), head="head-3")
    assert (dead.job.status, dead.job.cause) == (JobStatus.FAILED, Cause.INFRASTRUCTURE)


def test_the_death_of_a_head_is_noticed_though_none_was_known_when_the_attempt_was_opened() -> None:
    opened = job(attempts=(attempt(submitted_at=None, head=""),), status=JobStatus.PENDING)
    runs = plan(plan(opened, UP, head="").job, UP, RUNS)
    assert runs.job.status is JobStatus.RUNNING
    assert plan(runs.job, UP, RUNS, head="head-2").job.status is JobStatus.FAILED


def test_a_driver_on_a_worker_outlives_its_head() -> None:
    it = job(attempts=(attempt(),), status=JobStatus.RUNNING)
    seen = replace(RUNS, driver_node="worker-1")
    moved = plan(it, UP, seen, head="head-2")
    assert (moved.effect, moved.job.status) == (Effect.WAKE_RAY, JobStatus.RUNNING)
    assert plan(moved.job, UP, seen, head="head-2").effect is Effect.NONE


def test_an_unreachable_head_does_not_put_a_running_job_back() -> None:
    it = job(attempts=(attempt(),), status=JobStatus.RUNNING)
    assert plan(it, UP, Absence.UNREACHABLE).job.status is JobStatus.RUNNING


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (cluster(State.STOPPING, Wanted.STOPPED), "was stopped"),
        (cluster(State.STOPPING, Wanted.DELETED), "was deleted"),
        (None, "was deleted"),
        (cluster(State.ERROR, message="out of disk"), "out of disk"),
    ],
)
def test_a_job_ends_with_its_existing_cluster(on: Cluster | None, words: str) -> None:
    it = specified(job(attempts=(attempt(),), status=JobStatus.RUNNING), cluster=CLUSTER)
    ended = plan(it, on)
    assert (ended.job.status, ended.job.cause) == (JobStatus.FAILED, Cause.INFRASTRUCTURE)
    assert words in ended.job.message


def test_a_job_that_succeeded_just_before_its_cluster_was_stopped_has_succeeded() -> None:
    it = specified(job(attempts=(attempt(),), status=JobStatus.RUNNING), cluster=CLUSTER)
    going = cluster(State.STOPPING, Wanted.STOPPED)
    assert asks_ray(it, going)
    assert plan(it, going, RaySighting(RayStatus.SUCCEEDED, exit_code=0)).job.status is JobStatus.SUCCEEDED
    for seen in (RUNS, Absence.UNREACHABLE, RaySighting(RayStatus.FAILED)):
        assert "was stopped" in plan(it, going, seen).job.message


FAILED = RaySighting(RayStatus.FAILED, "exit code 1", error_type="JOB_ENTRYPOINT_COMMAND_ERROR", exit_code=1)


def test_a_job_whose_environment_failed_has_not_run() -> None:
    it = job(attempts=(attempt(),), status=JobStatus.PENDING)
    failed = RaySighting(RayStatus.FAILED, "pip failed", "RUNTIME_ENV_SETUP_FAILURE", started_at=T0)
    assert plan(it, UP, failed).job.started_at is None
    ran = RaySighting(RayStatus.FAILED, exit_code=1, started_at=T0)
    assert plan(it, UP, ran).job.started_at == T0


def test_a_deadline_is_told_in_words() -> None:
    told = {30: "30 s", 90: "90 s", 120: "2 min", 7199: "120 min", 7200: "2 h", 9000: "2.5 h"}
    assert {seconds: span(timedelta(seconds=seconds)) for seconds in told} == told


def test_retries_make_a_new_attempt_after_a_pause() -> None:
    it = specified(job(attempts=(attempt(),), status=JobStatus.RUNNING), retries=Retries(1))
    failed = plan(it, UP, FAILED)
    assert (failed.job.status, failed.why) == (JobStatus.PENDING, "Retried")
    assert failed.job.not_before == NOW + backoff(1)
    assert plan(failed.job, UP).again == backoff(1)
    later = decide(facts(failed.job, UP), NOW + backoff(1))
    second = later.job.attempt
    assert second is not None and (second.number, second.submission_id) == (2, f"{JOB}-2")
    handed = plan(later.job, UP).job
    last = plan(handed, UP, FAILED)
    assert (last.job.status, last.job.cause, last.job.exit_code) == (JobStatus.FAILED, Cause.USER_ERROR, 1)


def test_a_job_has_run_since_its_first_attempt_though_nobody_saw_that_run() -> None:
    it = specified(job(attempts=(attempt(),), status=JobStatus.PENDING), retries=Retries(1))
    failed = plan(it, UP, replace(FAILED, started_at=T0))
    second = decide(facts(failed.job, UP), NOW + backoff(1)).job
    handed = plan(second, UP).job
    running = plan(handed, UP, RaySighting(RayStatus.RUNNING, started_at=NOW, driver_node="head-1"))
    assert running.job.status is JobStatus.RUNNING
    assert (running.job.attempts[-1].started_at, running.job.started_at) == (NOW, T0)


def test_a_failed_temporary_cluster_is_made_anew_when_a_retry_is_left() -> None:
    broken = cluster(State.ERROR, message="no disk")
    it = specified(job(status=JobStatus.PENDING), retries=Retries(1))
    failed = plan(it, broken)
    assert (failed.job.status, failed.job.failures) == (JobStatus.PENDING, (Cause.INFRASTRUCTURE,))
    assert plan(failed.job, broken).effect is Effect.NONE
    later = decide(facts(failed.job, broken), NOW + backoff(1))
    assert later.effect is Effect.START_CLUSTER
    again = plan(later.job, cluster(State.ERROR, instance=OTHER_RUN, message="no disk"))
    assert again.job.status is JobStatus.FAILED


@pytest.mark.parametrize(
    ("retries", "failures", "allowed"),
    [
        (Retries(), [Cause.USER_ERROR], False),
        (Retries(1), [Cause.USER_ERROR], True),
        (Retries(1), [Cause.USER_ERROR, Cause.USER_ERROR], False),
        (Retries(3, user_error=0), [Cause.USER_ERROR], False),
        (Retries(3, user_error=0), [Cause.INFRASTRUCTURE], True),
        (Retries(3, out_of_memory=1), [Cause.OUT_OF_MEMORY, Cause.USER_ERROR, Cause.OUT_OF_MEMORY], False),
        (Retries(3, out_of_memory=2), [Cause.OUT_OF_MEMORY, Cause.USER_ERROR, Cause.OUT_OF_MEMORY], True),
        (Retries(3), [], False),
    ],
)
def test_retries_are_counted_by_cause(retries: Retries, failures: list[Cause], allowed: bool) -> None:
    assert retries.allow(failures) is allowed


def test_code_that_cannot_be_had_ends_the_job_before_anything_starts() -> None:
    ended = failed_before_ray(job(), "no such file", NOW, Cause.USER_ERROR).job
    assert (ended.status, ended.message, ended.attempts) == (JobStatus.FAILED, "no such file", ())
    released = plan(ended, cluster(State.STOPPED, Wanted.STOPPED, None))
    assert released.effect is Effect.RELEASE
