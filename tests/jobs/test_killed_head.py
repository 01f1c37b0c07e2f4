"""The head is killed under running jobs: they end with that cause at once, or are tried again where that was asked for."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from heliostat.client.sync.job import Job

from .support import NEWEST, OLDER, SHAPE, Server, digits, lines, seen, settled

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(200)]
RETRY = {"limit": 1, "user_error": 0}


def second_time_lucky(name: str, marks: Path) -> str:
    """An entry point that does not end the first time."""
    runs = marks / f"{name}.runs"
    return f"echo run >> {runs}; if [ $(wc -l < {runs}) -gt 1 ]; then echo again; exit 0; fi; {digits(name, marks)}"


def kill_head(server: Server, cluster: str) -> None:
    head = next(node for node in server.client.clusters.nodes(cluster) if node.kind == "head")
    assert head.pid is not None
    os.kill(head.pid, signal.SIGKILL)


def prints(job: Job) -> Job:
    """Some of its lines are in the storage."""
    return seen(job, lambda job: job.info.attempts and job.logs() and len(lines(job.log(), job.name)) >= 3, "it prints")


def cut_short(job: Job, text: str) -> list[str]:
    """The lines that a dead attempt had printed: all numbers from 1 on, and no end."""
    found = lines(text, job.name)
    assert found == [f"{job.name} {number}" for number in range(1, len(found) + 1)], found
    return found


def test_a_head_that_comes_back_ends_its_jobs_and_takes_them_again(server: Server) -> None:
    cluster = server.client.clusters.create("c", release=NEWEST, **SHAPE).wait(deadline=90)
    submit = server.client.jobs.submit
    once = prints(submit(digits("once", server.marks), name="once", cluster="c"))
    twice = prints(submit(second_time_lucky("twice", server.marks), name="twice", cluster="c", retries=RETRY))
    before = len(lines(once.log(), "once")), len(lines(twice.log(), "twice"))

    kill_head(server, cluster.id)
    killed = time.monotonic()
    settled(once)
    print(f"\nits end was told {time.monotonic() - killed:.1f} s after the head's")
    assert (once.status, once.info.cause, once.exit_code) == ("Failed", "infrastructure", None)
    assert "head" in once.message
    assert len(cut_short(once, once.log())) >= before[0]
    assert (server.marks / "once.begun").read_text() == "once\n"
    assert not (server.marks / "once.ended").exists(), "nothing of it lived on"

    settled(twice)
    assert (twice.status, twice.exit_code) == ("Succeeded", 0), twice.message
    first, second = twice.info.attempts
    assert first.cause == "infrastructure" and first.instance == second.instance
    assert (server.marks / "twice.runs").read_text() == "run\n" * 2
    assert len(cut_short(twice, twice.log(attempt=1))) >= before[1]
    assert lines(twice.log(attempt=2), "again") == ["again"]
    assert all(row.log_complete for row in twice.info.attempts)
    assert cluster.refresh().state == "Running"


def test_without_its_head_an_older_ray_is_lost_and_a_job_gets_a_new_cluster(server: Server) -> None:
    cluster = server.client.clusters.create("c", release=OLDER, **SHAPE)
    submit = server.client.jobs.submit
    entrypoint = second_time_lucky("own", server.marks)
    twice = {"limit": 2, "user_error": 0}  # the first start of a cluster may fail, too
    own = submit(entrypoint, name="own", cluster_spec={"release": OLDER, **SHAPE}, retries=twice)
    cluster.wait(deadline=90)
    there = prints(submit(digits("there", server.marks), name="there", cluster="c", retries=RETRY))
    prints(own)
    before = len(lines(there.log(), "there")), len(lines(own.log(), "own"))
    died = len(own.info.attempts)

    kill_head(server, cluster.id)
    kill_head(server, own.cluster_id)
    settled(there)
    assert (there.status, there.info.cause) == ("Failed", "infrastructure")
    assert "its cluster failed" in there.message
    assert len(cut_short(there, there.log())) >= before[0]
    assert cluster.refresh().state == "Error"

    settled(own)
    assert (own.status, own.exit_code) == ("Succeeded", 0), own.message
    assert len(own.info.attempts) == died + 1
    first, second = own.info.attempts[-2:]
    assert first.cause == "infrastructure" and first.instance != second.instance
    assert (server.marks / "own.runs").read_text() == "run\n" * 2
    assert len(cut_short(own, own.log(attempt=died))) >= before[1]
    assert lines(own.log(attempt=died + 1), "again") == ["again"]
    assert server.clusters == [cluster.id]
    cluster.delete(stop=True)
    server.nothing_is_left()
