"""How far a run is, from what is stored: never without a phase, and never final before its outcome is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heliostat.dialects.flyte.runs import Phase, RunRecord
from heliostat.dialects.flyte.runs.outcome import Outcome
from heliostat.dialects.flyte.runs.view import view
from heliostat.domain.installation import Installation
from heliostat.domain.job_states import JobClusterState, JobStatus
from heliostat.domain.states import State

from .samples import CLUSTER, JOB, job, seen

RECORD = RunRecord("p", "d", "e", "n0", 0, ("p", "d", "t", "v"), "s3://b/o", False)
PLACE = Installation(gateway_url="https://h:1", gateway_domain="g:2", gateway_scheme="https")
STATES = [None, *State]


def test_every_status_of_a_job_and_its_cluster_has_a_phase() -> None:
    for status in JobStatus:
        for state in STATES:
            for prepared in (False, True):
                found = view(JOB, seen(job(status, prepared=prepared), state), RECORD, PLACE)
                assert found.phase is not Phase.UNDEFINED and not found.settled and found.message
                assert found.info["heliostatJobId"] == JOB
                if status.final:
                    assert (found.phase, found.message) == (Phase.RUNNING, "its outcome is being read")


@pytest.mark.parametrize(
    ("status", "state", "message", "prepared", "phase"),
    [
        (JobStatus.SUBMITTED, State.STOPPED, "ok", False, Phase.QUEUED),
        (JobStatus.SUBMITTED, State.STOPPED, "ok", True, Phase.INITIALIZING),
        (JobStatus.SUBMITTED, State.STARTING, "waits for queue q: needs 2 cpu", True, Phase.WAITING_FOR_RESOURCES),
        (JobStatus.SUBMITTED, State.STARTING, "starting", True, Phase.INITIALIZING),
        (JobStatus.PENDING, State.STARTING, "starting", True, Phase.INITIALIZING),
        (JobStatus.PENDING, State.RUNNING, "ok", True, Phase.INITIALIZING),
        (JobStatus.RUNNING, State.RUNNING, "ok", True, Phase.RUNNING),
        (JobStatus.CANCELLING, State.RUNNING, "ok", True, Phase.RUNNING),
        (JobStatus.CANCELLING, State.STARTING, "waits for queue q", True, Phase.RUNNING),
    ],
)
def test_phases(status: JobStatus, state: State, message: str, prepared: bool, phase: Phase) -> None:
    assert view(JOB, seen(job(status, prepared=prepared), state, message), RECORD, PLACE).phase is phase


def test_a_cluster_that_waits_says_for_what() -> None:
    waiting = seen(job(JobStatus.SUBMITTED), State.STARTING, "waits for queue q: needs 2 cpu")
    assert view(JOB, waiting, RECORD, PLACE).message == "its cluster waits for queue q: needs 2 cpu"
    coming = seen(replace(job(JobStatus.PENDING), cluster_state=JobClusterState.PENDING), State.STARTING, "waits for x")
    assert view(JOB, coming, RECORD, PLACE).phase is Phase.INITIALIZING


def test_what_is_stored_of_the_end_counts() -> None:
    ended = RECORD.ended(Outcome(Phase.FAILED, "[c] m", "c", False, "USER"))
    for given in (None, seen(job(JobStatus.RUNNING)), seen(job(JobStatus.SUCCEEDED))):
        found = view(JOB, given, ended, PLACE)
        assert (found.phase, found.message, found.code, found.origin) == (Phase.FAILED, "[c] m", "c", "USER")


def test_a_job_that_was_deleted_may_be_tried_again() -> None:
    found = view(JOB, None, RECORD, PLACE)
    assert found.phase is Phase.RETRYABLE_FAILED and found.info == {"heliostatJobId": JOB}


def test_links_are_the_same_from_the_first_answer_on_and_open_nothing_by_themselves() -> None:
    shown = {view(JOB, seen(job(status)), RECORD, PLACE).links for status in JobStatus}
    assert len(shown) == 1
    dashboard, log = shown.pop()
    assert dashboard.uri == f"https://c-{CLUSTER}.g:2/#/jobs/{JOB}" and dashboard.while_pending
    assert log.uri == f"https://h:1/console/runs/{JOB}"


def test_warnings_are_told() -> None:
    record = replace(RECORD, warnings=("pods have no affinity here",))
    assert view(JOB, seen(job(JobStatus.RUNNING)), record, PLACE).message.endswith(
        "; warning: pods have no affinity here"
    )
