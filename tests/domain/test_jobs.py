"""Jobs: their ids and retries, what follows from their fields, and that no secret of theirs is printed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.ids import InstanceId, JobId, new_job_id
from heliostat.domain.job_states import JOB_EDGES, JobClusterState, JobGoal, JobStatus, may
from heliostat.domain.jobs import Attempt, Code, Job, JobSpec, LogFile, Prepared, Retries, submission_id
from heliostat.domain.ray_jobs import Cause
from heliostat.domain.secret import Secret
from heliostat.domain.spec import FaultTolerance

from .samples import ANN, CLUSTER, NOW, SHAPE, SPEC, WORKSPACE

U, M, X = Cause.USER_ERROR, Cause.OUT_OF_MEMORY, Cause.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("retries", "failures", "allowed"),
    [
        (Retries(), [], False),
        (Retries(), [X], False),
        (Retries(1), [], False),
        (Retries(1), [X], True),
        (Retries(1), [X, X], False),
        (Retries(3), [U, M, X], True),
        (Retries(3, user_error=0), [U], False),
        (Retries(3, user_error=0), [X], True),
        (Retries(3, user_error=0), [X, U], False),
        (Retries(3, user_error=1), [U, X], True),
        (Retries(3, user_error=1), [U, X, U], False),
        (Retries(9, infrastructure=2, out_of_memory=1), [X, M, X], True),
        (Retries(9, infrastructure=2, out_of_memory=1), [X, M, X, M], False),
        (Retries(9, infrastructure=2, out_of_memory=1), [X, X, X], False),
        (Retries(1, user_error=5), [U, U], False),
    ],
)
def test_retries_by_cause(retries: Retries, failures: list[Cause], allowed: bool) -> None:
    assert retries.allow(failures) is allowed


bounds = st.none() | st.integers(0, 4)


@given(
    st.builds(Retries, st.integers(0, 6), bounds, bounds, bounds),
    st.lists(st.sampled_from(Cause), min_size=8, max_size=8),
)
def test_tries_come_to_an_end_and_keep_to_every_bound(retries: Retries, causes: list[Cause]) -> None:
    """Failures as they come, until no other try is allowed."""
    failures: list[Cause] = []
    for cause in causes:
        failures.append(cause)
        if not retries.allow(failures):
            break
    retried = failures[:-1]
    assert len(retried) <= retries.limit
    for cause, bound in ((U, retries.user_error), (M, retries.out_of_memory), (X, retries.infrastructure)):
        assert bound is None or retried.count(cause) <= bound


def test_every_attempt_has_an_id_of_its_own() -> None:
    id = new_job_id()
    assert submission_id(id, 1) == id
    assert len({submission_id(id, number) for number in range(1, 5)}) == 4


def a_job() -> Job:
    tolerance = FaultTolerance(True, "redis://u:secret-redis@cache", "u", Secret("secret-password"))
    cluster = replace(
        SPEC, head=replace(SHAPE, env={"K": "secret-env"}, ray_start_params="--x=secret-option"),
        fault_tolerance=tolerance, extras={"emr.x": "secret-extra"},
    )  # fmt: skip
    spec = JobSpec(
        "j", "true", cluster, runtime_env={"env_vars": {"K": "secret-variable"}},
        code=Code("https://x/?sig=secret-zip", ("https://x/?sig=secret-file",), "https://x/?sig=secret-lines"),
        extras={"emr.y": "secret-more"}, deadline=timedelta(hours=1),
    )  # fmt: skip
    return Job(
        JobId("rj-1"), WORKSPACE, spec, JobStatus.RUNNING, "runs", JobGoal.RUN, CLUSTER, JobClusterState.RUNNING, ANN,
        "ann", NOW, prepared=Prepared("0" * 64, ("git+https://secret-token@x/y",)),
    )  # fmt: skip


def test_no_secret_is_printed() -> None:
    job = a_job()
    for thing in (job, job.spec, job.spec.code, job.prepared, job.spec.cluster_spec):
        assert "secret" not in f"{thing} {thing!r}".replace("Secret(", "").replace("secrets=", "")
    assert "rj-1" in repr(job)


def test_what_follows_from_the_fields() -> None:
    job = a_job()
    assert job.deadline_at == NOW + timedelta(hours=1)
    assert replace(job, spec=replace(job.spec, deadline=None)).deadline_at is None
    assert job.spec.temporary and not replace(job.spec, cluster=CLUSTER).temporary
    assert Code().empty and not job.spec.code.empty
    assert job.attempt is None and job.logs_complete and job.failures == ()
    ended = Attempt(1, "rj-1", InstanceId("i"), "", NOW, ended_at=NOW, cause=Cause.USER_ERROR, log_complete=True)
    now_open = Attempt(2, "rj-1-2", InstanceId("i"), "", NOW)
    assert replace(job, attempts=(ended,)).attempt is None
    both = replace(job, attempts=(ended, now_open))
    assert both.attempt is now_open and not both.logs_complete and both.failures == (Cause.USER_ERROR,)


def test_a_log_file_expires_by_its_time_only() -> None:
    file = LogFile("rj-1", WORKSPACE, "x", 0, 0, NOW)
    assert not file.expired and not replace(file, complete=True, size=1).expired


def test_final_states_are_those_of_the_contract() -> None:
    assert {status for status in JobStatus if status.final} == {
        JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.TIMEOUT,
    }  # fmt: skip
    for status in JobStatus:
        assert may(status, status)
        assert status.final or status is JobStatus.CANCELLING or may(status, JobStatus.CANCELLING)
        assert all(reason.strip() for reason in JOB_EDGES[status].values())
