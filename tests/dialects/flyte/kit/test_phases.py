"""The tables of the Flyte contract, section 4.4."""

from __future__ import annotations

import pytest
from flyteidl.admin import agent_pb2
from flyteidl.core import errors_pb2, execution_pb2

from .phases import Phase, Verdict, judge, outcome

FAILURE = "failed to run the job: m"


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("QUEUED", Verdict(Phase.QUEUED, "m")),
        ("WAITING_FOR_RESOURCES", Verdict(Phase.WAITING_FOR_RESOURCES, "m")),
        ("INITIALIZING", Verdict(Phase.INITIALIZING, "m")),
        ("RUNNING", Verdict(Phase.RUNNING)),
        ("SUCCEEDED", Verdict(Phase.SUCCEEDED, "m")),
        ("FAILED", Verdict(Phase.FAILED, FAILURE, "TaskFailedWithError")),
        ("RETRYABLE_FAILED", Verdict(Phase.RETRYABLE_FAILED, FAILURE, "TaskFailedWithError")),
        ("ABORTED", Verdict(Phase.FAILED, FAILURE, "TaskFailedWithError")),
        ("UNDEFINED", Verdict(Phase.RETRYABLE_FAILED, FAILURE, "TaskFailedWithError")),
    ],
)
def test_phases(phase: str, expected: Verdict) -> None:
    number = execution_pb2.TaskExecution.Phase.Value(phase)
    wrong = agent_pb2.AgentError(code="USER:X") if phase == "FAILED" else None
    assert judge(agent_pb2.Resource(phase=number, message="m", agent_error=wrong)) == expected


def test_every_phase_of_the_wire_is_known() -> None:
    for number in execution_pb2.TaskExecution.Phase.values():
        judge(agent_pb2.Resource(phase=number))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (agent_pb2.RETRYABLE_FAILURE, Phase.RETRYABLE_FAILED),
        (agent_pb2.PERMANENT_FAILURE, Phase.FAILED),
        (agent_pb2.PENDING, Phase.INITIALIZING),
        (agent_pb2.RUNNING, Phase.RUNNING),
        (agent_pb2.SUCCEEDED, Phase.SUCCEEDED),
    ],
)
def test_without_a_phase_the_deprecated_state_counts(state: int, expected: Phase) -> None:
    assert judge(agent_pb2.Resource(state=state)).phase is expected


def _error(kind: int = errors_pb2.ContainerError.NON_RECOVERABLE) -> errors_pb2.ErrorDocument:
    return errors_pb2.ErrorDocument(error=errors_pb2.ContainerError(code="USER:X", message="boom", kind=kind))


@pytest.mark.parametrize(
    ("declared", "answered", "error", "written", "expected"),
    [
        (True, False, None, True, Verdict(Phase.SUCCEEDED)),
        (True, False, _error(), True, Verdict(Phase.FAILED, "boom", "USER:X")),
        (
            True,
            False,
            _error(errors_pb2.ContainerError.RECOVERABLE),
            False,
            Verdict(Phase.RETRYABLE_FAILED, "boom", "USER:X"),
        ),
        (
            True,
            False,
            None,
            False,
            Verdict(Phase.RETRYABLE_FAILED, "the task's outputs were not found", "OutputsNotFound"),
        ),
        (True, True, _error(), False, Verdict(Phase.SUCCEEDED)),
        (False, False, _error(), False, Verdict(Phase.SUCCEEDED)),
        (False, True, None, False, Verdict(Phase.SUCCEEDED)),
    ],
)
def test_what_a_success_is_in_the_end(
    declared: bool, answered: bool, error: errors_pb2.ErrorDocument | None, written: bool, expected: Verdict
) -> None:
    assert outcome(declared, answered, error, written) == expected
