"""What Ray's API must do, on whatever heads. A module with heads of its own subclasses :class:`RayApiConformance`."""

from __future__ import annotations

import asyncio
import itertools
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from heliostat.domain.errors import Unavailable
from heliostat.domain.ray_jobs import Cause, RaySighting, RayStatus, RaySubmission, cause_of
from heliostat.domain.secret import Secret
from heliostat.ray_api import Head, RayApi, RayRefused
from heliostat.ray_api.base import PACKAGE_LIMIT
from heliostat.ray_api.words import LONGEST

SECRET = "correct horse battery"
WORK = """
import ray

@ray.remote(num_cpus=0)
def double(value):
    return 2 * value

@ray.remote(num_cpus=0)
class Counter:
    def add(self, value):
        return value

counter = Counter.remote()
assert ray.get([double.remote(n) for n in range(3)]) == [0, 2, 4]
assert ray.get(counter.add.remote(1)) == 1
print("worked")
import time
time.sleep(1000)
"""
"""The program of the job with tasks and an actor; it runs until it is stopped."""

_numbers = itertools.count(1)


class Backend(Protocol):
    """Heads to try it on."""

    api: RayApi
    head: Head
    gone: Head
    """One that does not answer."""
    checks_tokens: bool
    pause: float
    """Seconds between two looks."""

    def log(self, submission_id: str) -> str:
        """The driver's log so far."""

    def starts(self, submission_id: str) -> int:
        """How often its entry point was begun."""


async def until(backend: Backend, submission_id: str, reached: Callable[[RaySighting], object]) -> RaySighting:
    """Look until a job is as wanted; fails when it has ended otherwise."""
    async with asyncio.timeout(90):
        while True:
            seen = await backend.api.sighting(backend.head, submission_id)
            assert seen is not None
            if reached(seen):
                return seen
            assert not seen.status.terminal, seen
            await asyncio.sleep(backend.pause)


async def ended(backend: Backend, submission_id: str) -> RaySighting:
    return await until(backend, submission_id, lambda seen: seen.status.terminal)


async def running(backend: Backend, submission_id: str) -> RaySighting:
    return await until(backend, submission_id, lambda seen: seen.status is RayStatus.RUNNING)


def job(entrypoint: str, **fields: Any) -> RaySubmission:
    return RaySubmission(f"rj-{next(_numbers):016x}", entrypoint, **fields)


def package(folder: Path) -> Path:
    """A working directory with the program above."""
    path = folder / "code.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("work.py", WORK)
    return path


class RayApiConformance:
    async def test_a_job_that_is_submitted_again_runs_once(self, backend: Backend) -> None:
        wanted = job("echo once")
        await backend.api.submit(backend.head, wanted)
        await backend.api.submit(backend.head, wanted)
        await backend.api.submit(backend.head, replace(wanted, entrypoint="exit 9"))
        assert (await ended(backend, wanted.submission_id)).status is RayStatus.SUCCEEDED
        await backend.api.submit(backend.head, wanted)
        seen = await backend.api.sighting(backend.head, wanted.submission_id)
        assert seen is not None and seen.status is RayStatus.SUCCEEDED
        assert backend.starts(wanted.submission_id) == 1

    async def test_an_unknown_job_is_none_and_nothing_to_stop_or_to_wake_for(self, backend: Backend) -> None:
        assert await backend.api.sighting(backend.head, "rj-ffffffffffffffff") is None
        await backend.api.stop(backend.head, "rj-ffffffffffffffff")
        await backend.api.wake(backend.head, "rj-ffffffffffffffff")
        assert await backend.api.sighting(backend.head, "rj-ffffffffffffffff") is None

    async def test_a_job_that_succeeds(self, backend: Backend) -> None:
        wanted = job("echo 'hello there'")
        await backend.api.submit(backend.head, wanted)
        seen = await ended(backend, wanted.submission_id)
        assert (seen.status, seen.exit_code, seen.cause, seen.error_type) == (RayStatus.SUCCEEDED, 0, None, "")
        assert seen.started_at is not None and seen.ended_at is not None and seen.started_at <= seen.ended_at
        assert seen.driver_node and not seen.ray_job_id
        assert "\nhello there\n" in backend.log(wanted.submission_id)

    async def test_a_job_that_fails_tells_its_exit_code_and_its_last_words(self, backend: Backend) -> None:
        wanted = job(
            f"echo {'long ' * 500}; echo 'last words of {SECRET}'; exit 3", runtime_env={"env_vars": {"A": SECRET}}
        )
        await backend.api.submit(backend.head, wanted)
        seen = await ended(backend, wanted.submission_id)
        assert (seen.status, seen.exit_code, seen.cause) == (RayStatus.FAILED, 3, Cause.USER_ERROR)
        assert seen.message == "its entry point ended with exit code 3; its last line: last words of ***"
        assert seen.ended_at is not None

    async def test_a_killed_entry_point_counts_as_out_of_memory(self, backend: Backend) -> None:
        wanted = job("kill -9 $$")
        await backend.api.submit(backend.head, wanted)
        seen = await ended(backend, wanted.submission_id)
        assert (seen.status, cause_of(seen)) == (RayStatus.FAILED, Cause.OUT_OF_MEMORY)

    async def test_a_stopped_job(self, backend: Backend) -> None:
        wanted = job("sleep 1000")
        await backend.api.submit(backend.head, wanted)
        seen = await running(backend, wanted.submission_id)
        assert seen.started_at is None and seen.ended_at is None and seen.exit_code is None and seen.driver_node
        await backend.api.stop(backend.head, wanted.submission_id)
        assert (await ended(backend, wanted.submission_id)).status is RayStatus.STOPPED
        await backend.api.stop(backend.head, wanted.submission_id)
        seen = await ended(backend, wanted.submission_id)
        assert seen.status is RayStatus.STOPPED and seen.cause is None and seen.ended_at is not None

    async def test_a_stop_does_not_end_a_job_that_no_node_can_run(self, backend: Backend) -> None:
        wanted = job("true", resources={"nowhere": 1.0})
        await backend.api.submit(backend.head, wanted)
        await backend.api.stop(backend.head, wanted.submission_id)
        for _ in range(5):
            seen = await backend.api.sighting(backend.head, wanted.submission_id)
            assert seen is not None and seen.status is RayStatus.PENDING, "tell the life of a job that stops end it"
            assert "waiting for resources" in seen.message and not seen.driver_node
            await asyncio.sleep(backend.pause)

    async def test_a_package_is_there_once_it_was_put_and_good_as_a_working_directory(
        self, backend: Backend, tmp_path: Path
    ) -> None:
        name = "_ray_pkg_0123456789abcdef.zip"
        assert not await backend.api.has_package(backend.head, name)
        await backend.api.put_package(backend.head, name, package(tmp_path))
        await backend.api.put_package(backend.head, name, package(tmp_path))
        assert await backend.api.has_package(backend.head, name)
        wanted = job("true", runtime_env={"working_dir": f"gcs://{name}"})
        await backend.api.submit(backend.head, wanted)
        assert (await ended(backend, wanted.submission_id)).status is RayStatus.SUCCEEDED

    async def test_a_package_that_is_too_large_is_refused_with_a_remedy(self, backend: Backend, tmp_path: Path) -> None:
        path = tmp_path / "large.zip"
        with path.open("wb") as file:
            file.truncate(PACKAGE_LIMIT + (1 << 20))
        with pytest.raises(RayRefused, match=r"101\.0 MiB.*at most 100 MiB.*\.rayignore"):
            await backend.api.put_package(backend.head, "_ray_pkg_large.zip", path)
        assert not await backend.api.has_package(backend.head, "_ray_pkg_large.zip")

    async def test_a_lost_package_is_not_the_users_fault(self, backend: Backend) -> None:
        wanted = job("true", runtime_env={"working_dir": "gcs://_ray_pkg_fedcba9876543210.zip"})
        await backend.api.submit(backend.head, wanted)
        seen = await ended(backend, wanted.submission_id)
        assert (seen.status, seen.cause) == (RayStatus.FAILED, Cause.INFRASTRUCTURE)
        assert seen.message.startswith("runtime_env setup failed") and len(seen.message) <= LONGEST
        assert "Failed to download runtime_env file package gcs://_ray_pkg_fedcba9876543210.zip" in seen.message

    async def test_a_runtime_environment_that_cannot_be_is_the_users_fault(self, backend: Backend) -> None:
        wanted = job("true", runtime_env={"working_dir": "/nowhere", "env_vars": {"PASSWORD": SECRET}})
        await backend.api.submit(backend.head, wanted)
        seen = await ended(backend, wanted.submission_id)
        assert (seen.status, seen.exit_code, seen.cause) == (RayStatus.FAILED, None, Cause.USER_ERROR)
        assert "/nowhere" in seen.message and "is not a valid path" in seen.message
        assert SECRET not in seen.message and "Traceback" not in seen.message and len(seen.message) <= LONGEST

    async def test_what_ray_does_not_take_is_refused_in_one_sentence(self, backend: Backend) -> None:
        wanted = job("true", metadata={"number": 1}, runtime_env={"env_vars": {"PASSWORD": SECRET}})
        with pytest.raises(RayRefused) as caught:
            await backend.api.submit(backend.head, wanted)
        assert caught.value.message == "metadata values must be strings, got <class 'int'>"
        assert await backend.api.sighting(backend.head, wanted.submission_id) is None

    async def test_waking_a_head_that_is_awake_changes_nothing(self, backend: Backend) -> None:
        wanted = job("sleep 1000")
        await backend.api.submit(backend.head, wanted)
        await running(backend, wanted.submission_id)
        await backend.api.wake(backend.head, wanted.submission_id)
        await backend.api.wake(backend.head, wanted.submission_id)
        await asyncio.sleep(3 * backend.pause)
        assert (await running(backend, wanted.submission_id)).status is RayStatus.RUNNING
        await backend.api.stop(backend.head, wanted.submission_id)
        assert (await ended(backend, wanted.submission_id)).status is RayStatus.STOPPED
        await backend.api.wake(backend.head, wanted.submission_id)
        assert (await ended(backend, wanted.submission_id)).status is RayStatus.STOPPED
        assert backend.starts(wanted.submission_id) == 1

    async def test_tasks_and_actors_are_counted_by_name_and_state(self, backend: Backend, tmp_path: Path) -> None:
        name = "_ray_pkg_aaaaaaaaaaaaaaaa.zip"
        await backend.api.put_package(backend.head, name, package(tmp_path))
        wanted = job("python work.py", runtime_env={"working_dir": f"gcs://{name}"})
        await backend.api.submit(backend.head, wanted)
        seen = await until(backend, wanted.submission_id, lambda seen: seen.ray_job_id)
        async with asyncio.timeout(60):
            while True:
                summary = await backend.api.summary(backend.head, seen.ray_job_id)
                tasks = {row.name: dict(row.states) for row in summary.tasks}
                if tasks == {"double": {"FINISHED": 3}, "Counter.add": {"FINISHED": 1}}:
                    break
                await asyncio.sleep(backend.pause)
        assert {row.name: dict(row.states) for row in summary.actors} == {"Counter": {"ALIVE": 1}}
        assert not summary.truncated
        assert (await backend.api.summary(backend.head, "ee000000")).tasks == ()
        assert (await backend.api.summary(backend.head, "")).tasks == ()
        busy = await backend.api.activity(backend.head)
        assert busy.submissions >= 1 and (busy.drivers, busy.actors) >= (1, 1)
        await backend.api.stop(backend.head, wanted.submission_id)
        await ended(backend, wanted.submission_id)
        async with asyncio.timeout(60):
            while True:
                left = await backend.api.activity(backend.head)
                if (left.submissions, left.drivers) < (busy.submissions, busy.drivers) and left.actors < busy.actors:
                    break
                await asyncio.sleep(backend.pause)

    @pytest.mark.parametrize("which", ["gone", "token"])
    async def test_a_head_that_does_not_answer_or_refuses_our_token_is_unavailable(
        self, backend: Backend, tmp_path: Path, which: str
    ) -> None:
        api, head = backend.api, backend.gone
        if which == "token":
            head = replace(backend.head, token=Secret("0" * 32))
            if not backend.checks_tokens:
                assert await api.sighting(head, "rj-ffffffffffffffff") is None
                return
        calls: list[Callable[[], Any]] = [
            lambda: api.submit(head, job("true")),
            lambda: api.sighting(head, "rj-1"),
            lambda: api.stop(head, "rj-1"),
            lambda: api.wake(head, "rj-1"),
            lambda: api.has_package(head, "_ray_pkg_1.zip"),
            lambda: api.put_package(head, "_ray_pkg_1.zip", package(tmp_path)),
            lambda: api.summary(head, "02000000"),
            lambda: api.activity(head),
        ]
        for call in calls:
            with pytest.raises(Unavailable) as caught:
                await call()
            assert head.token is None or head.token.reveal() not in str(caught.value)
