"""What becomes of a run: the whole table (Flyte contract, section 5.4)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flyteidl.core import errors_pb2, literals_pb2
from hypothesis import given
from hypothesis import strategies as st

from heliostat.dialects.flyte.runs import Phase, RunRecord
from heliostat.dialects.flyte.runs.outcome import (
    LONGEST_MESSAGE,
    Found,
    Outcome,
    TaskError,
    error_of,
    needs_reading,
    outcome,
    outputs_of,
)
from heliostat.domain.job_states import JobStatus
from heliostat.domain.ray_jobs import Cause

from .samples import job

PERMANENT = TaskError("USER:E", "boom", False, "USER")
TRANSIENT = TaskError("SYSTEM:E", "boom", True, "SYSTEM")
ENDINGS = [status for status in JobStatus if status.final]


def expected(status: JobStatus, error: TaskError | None, has_outputs: bool, void: bool, unreadable: bool) -> Phase:
    """The contract's table in words of its own."""
    if status is JobStatus.CANCELLED:
        return Phase.ABORTED
    if status is JobStatus.TIMEOUT:
        return Phase.RETRYABLE_FAILED
    if error is not None:
        return Phase.RETRYABLE_FAILED if error.recoverable else Phase.FAILED
    if status is JobStatus.FAILED:
        return Phase.RETRYABLE_FAILED
    return Phase.SUCCEEDED if has_outputs or void or unreadable else Phase.RETRYABLE_FAILED


def test_the_whole_table() -> None:
    booleans = (False, True)
    for status, error, has_outputs, void in itertools.product(
        ENDINGS, (None, PERMANENT, TRANSIENT), booleans, booleans
    ):
        seen = outcome(job(status), void=void, found=Found(error, has_outputs))
        assert seen.phase is expected(status, error, has_outputs, void, False), (status, error, has_outputs, void)
        assert seen.phase.final and seen.message
        if seen.phase in (Phase.FAILED, Phase.RETRYABLE_FAILED):
            assert seen.recoverable == (seen.phase is Phase.RETRYABLE_FAILED)
            assert seen.message.startswith(f"[{seen.code}] ")
    for status in ENDINGS:
        seen = outcome(job(status), void=False, found=Found(unreadable="no driver"))
        assert seen.phase is expected(status, None, False, False, True)
        assert "no driver" in seen.message or not needs_reading(job(status))


def test_a_failure_without_words_of_its_own_ends_with_its_log() -> None:
    seen = outcome(job(JobStatus.FAILED), void=False, found=Found(), log_tail="last line")
    assert seen.message.endswith("the end of its log:\nlast line") and seen.origin == "SYSTEM"
    killed = replace(job(JobStatus.FAILED), cause=Cause.OUT_OF_MEMORY)
    assert outcome(killed, void=False, found=Found()).code == "OOMKilled"
    wrong = replace(job(JobStatus.FAILED), cause=Cause.USER_ERROR)
    assert outcome(wrong, void=False, found=Found()).origin == "USER"


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    error = replace(PERMANENT, message="begin" + "x" * 100_000 + "end")
    message = outcome(job(JobStatus.FAILED), void=False, found=Found(error)).message
    assert len(message) == LONGEST_MESSAGE and message.startswith("[USER:E] begin") and message.endswith("xend")


def test_outputs_of_void_tasks_are_not_brought() -> None:
    found = Found(has_outputs=True, outputs=b"x")
    assert outcome(job(JobStatus.SUCCEEDED), void=True, found=found).outputs is None
    assert outcome(job(JobStatus.SUCCEEDED), void=False, found=found).outputs == b"x"


@pytest.mark.parametrize("origin", [0, 1, 2, 77])
@pytest.mark.parametrize("kind", [0, 1, 5])
def test_errors_are_read(origin: int, kind: int) -> None:
    document = errors_pb2.ErrorDocument()
    document.error.code, document.error.message, document.error.kind, document.error.origin = "c", "m", kind, origin
    names = ("UNKNOWN", "USER", "SYSTEM")
    expected_origin = names[origin] if origin < 3 else "UNKNOWN"
    assert error_of(document.SerializeToString()) == TaskError("c", "m", kind == 1, expected_origin)  # type: ignore[arg-type]


@given(st.binary(max_size=60))
def test_whatever_stands_in_the_files(data: bytes) -> None:
    assert isinstance(error_of(data), TaskError)
    found = outputs_of(data)
    assert found is None or literals_pb2.LiteralMap.FromString(found).literals


def test_a_record_comes_back() -> None:
    record = RunRecord(
        "p", "d", "e", "n0", 2, ("p", "d", "t", "v"), "s3://b/o", True, ("w",), "file:///s",
        datetime(2026, 1, 1, tzinfo=UTC), Outcome(Phase.FAILED, "m", "c", False, "USER", b"\xff"),
    )  # fmt: skip
    for one in (record, replace(record, outcome=None, trouble_since=None), record.ended(Outcome(Phase.ABORTED, "m"))):
        assert RunRecord.decode(one.encode()) == one
    assert (record.written_below, replace(record, staged="").written_below) == ("file:///s", "s3://b/o")
