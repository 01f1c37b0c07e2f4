"""Why an attempt failed, from Ray's own words."""

from __future__ import annotations

import pytest

from heliostat.domain.ray_jobs import Cause, RaySighting, RayStatus, cause_of, failure_cause, last_error

USER, MEMORY, INFRASTRUCTURE = Cause.USER_ERROR, Cause.OUT_OF_MEMORY, Cause.INFRASTRUCTURE

ERROR_TYPES = {
    "RUNTIME_ENV_SETUP_FAILURE": USER,
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT": INFRASTRUCTURE,
    "JOB_SUPERVISOR_ACTOR_START_FAILURE": INFRASTRUCTURE,
    "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE": INFRASTRUCTURE,
    "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE": INFRASTRUCTURE,
    "JOB_SUPERVISOR_ACTOR_DIED": INFRASTRUCTURE,
    "JOB_ENTRYPOINT_COMMAND_START_ERROR": INFRASTRUCTURE,
    "JOB_ENTRYPOINT_COMMAND_ERROR": USER,
}
"""All of Ray 2.60; a test on the real release compares them."""

GUESS_2_47 = (
    "Unexpected error occurred: The actor died because of an error raised in its creation task ... connection error code 2. "
    "End of file. There are some potential root causes. (1) The process is killed by SIGKILL by OOM killer due to high memory "
    "usage. (2) ray stop --force is called. (3) The worker is crashed unexpectedly due to SIGSEGV or other unexpected errors."
)
GUESS_2_60 = (
    "Job supervisor actor died: The actor died unexpectedly before finishing this task. Some common causes include: (1) the "
    "process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed "
    "unexpectedly due to SIGSEGV or another unexpected error. If the process was killed by the kernel OOM killer (verifiable by "
    "checking for OOM in dmesg of the OOMing node), consider enabling resource isolation via --enable-resource-isolation to "
    "prevent node deaths by resource contention and significant loss of progress by uninformed kernel OOM killing."
)
HEAVY = "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n"


def traceback(last: str) -> str:
    return f'Traceback (most recent call last):\n  File "main.py", line 3, in <module>\n    run()\n{last}\n'


@pytest.mark.parametrize("name", ERROR_TYPES)
def test_each_of_rays_error_types_has_its_cause(name: str) -> None:
    assert failure_cause(name, None, "something happened") is ERROR_TYPES[name]


@pytest.mark.parametrize(
    ("exit_code", "text", "cause"),
    [
        (1, HEAVY + traceback("ValueError: boom"), USER),
        (127, HEAVY + "sh: 1: pyhton: not found", USER),
        (143, "", USER),
        (137, "", MEMORY),
        (-9, "Job entrypoint command failed with exit code -9. No logs available.", MEMORY),
        (1, HEAVY + "x" * 10_000 + "\n" + traceback("ray.exceptions.OutOfMemoryError: Task was killed"), MEMORY),
        (1, HEAVY + traceback("numpy.core._exceptions._ArrayMemoryError: Unable to allocate"), MEMORY),
        (1, HEAVY + traceback("MemoryError"), MEMORY),
        (1, HEAVY + traceback("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"), MEMORY),
        (1, HEAVY + "(raylet) 1 worker(s) were killed due to the node running low on memory.", MEMORY),
        (1, HEAVY + "Memory on the node (IP: 127.0.0.1, ID: ab) where the task ran was 3GB / 3GB (0.96)", MEMORY),
        (1, HEAVY + traceback("ray.exceptions.NodeDiedError: Task failed due to the node being dead"), INFRASTRUCTURE),
        (1, HEAVY + traceback("ray.exceptions.ActorDiedError: died.\n\tThe actor died because its node has died."),
         INFRASTRUCTURE),
        (1, HEAVY + traceback("ray.exceptions.NodeDiedError: retried") + traceback("ValueError: my own"), USER),
        (1, HEAVY + GUESS_2_60, USER),
        (1, HEAVY + "a job supervisor was hired", USER),
    ],
)  # fmt: skip
def test_an_entry_point_that_came_to_its_end(exit_code: int, text: str, cause: Cause) -> None:
    assert failure_cause("JOB_ENTRYPOINT_COMMAND_ERROR", exit_code, text) is cause
    assert failure_cause("", exit_code, text) is cause, "releases without error types say the same"


@pytest.mark.parametrize(
    ("kind", "text", "cause"),
    [
        ("JOB_SUPERVISOR_ACTOR_DIED", GUESS_2_60, INFRASTRUCTURE),
        ("", GUESS_2_47, INFRASTRUCTURE),
        ("JOB_SUPERVISOR_ACTOR_DIED", "Job supervisor actor died: Task was killed due to the node running low on memory.",
         MEMORY),
        ("RUNTIME_ENV_SETUP_FAILURE", "runtime_env setup failed: Failed to set up runtime environment.\npip ...", USER),
        ("", "runtime_env setup failed: Failed to set up runtime environment.\npip ...", USER),
        ("RUNTIME_ENV_SETUP_FAILURE", "runtime_env setup failed: Failed to set up runtime environment.\n"
         "OSError: Failed to download runtime_env file package gcs://_ray_pkg_ab.zip from the GCS", INFRASTRUCTURE),
        ("JOB_SUPERVISOR_ACTOR_START_FAILURE", "Failed to start supervisor actor rj-1: 'x'. Full traceback:\n"
         + traceback("ValueError: /nowhere is not a valid path."), USER),
        ("", "Failed to start supervisor actor rj-1: 'x'. Full traceback:\n" + traceback("TypeError: no"), USER),
        ("JOB_SUPERVISOR_ACTOR_START_FAILURE", "Failed to start supervisor actor rj-1: 'x'. Full traceback:\n"
         + traceback("ray.exceptions.RpcError: the GCS is gone"), INFRASTRUCTURE),
        ("JOB_SUPERVISOR_ACTOR_START_FAILURE", "Unexpected error occurred: failed to get job supervisor.", INFRASTRUCTURE),
        ("", "Job supervisor actor failed to start within 900.0 seconds.", INFRASTRUCTURE),
        ("", "Job supervisor actor could not be scheduled: the node is gone", INFRASTRUCTURE),
        ("A_TYPE_OF_TOMORROW", "", INFRASTRUCTURE),
        ("", "", INFRASTRUCTURE),
    ],
)  # fmt: skip
def test_a_job_whose_entry_point_did_not_come_to_its_end(kind: str, text: str, cause: Cause) -> None:
    assert failure_cause(kind, None, text) is cause


def test_a_sightings_own_judgement_counts_unless_there_is_more_text() -> None:
    judged = RaySighting(RayStatus.FAILED, "short", exit_code=1, cause=MEMORY)
    assert cause_of(judged) is MEMORY
    assert cause_of(RaySighting(RayStatus.FAILED, "short", exit_code=1)) is USER
    assert cause_of(RaySighting(RayStatus.FAILED, "short", exit_code=1), "MemoryError") is MEMORY


def test_the_last_error_is_found_with_all_that_follows() -> None:
    text = traceback("KeyError: 1") + "in between\n" + traceback("my.own.Failure: no\n\tmore of it")
    assert last_error(text) == "my.own.Failure: no\n\tmore of it\n"
    assert last_error("no error here: Error in a line") == ""
    assert last_error("") == ""
