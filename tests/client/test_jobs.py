"""Jobs through the SDK against a running server: what a user types, synchronously and asynchronously."""

from __future__ import annotations

import random
import secrets
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import heliostat
from heliostat.client import Conflict, DeadlineExceeded, InvalidRequest, JobFailed, JobInfo, NotFound, protocol
from heliostat.domain.ids import JobId
from heliostat.domain.jobs import driver_log
from heliostat.testing.harness import HarnessServer

from .cutting import cutting

SECONDS = 20.0


@pytest.fixture
def cluster(client: heliostat.Client) -> Iterator[heliostat.Cluster]:
    """A running cluster, deleted afterwards."""
    made = client.clusters.create(f"c-{secrets.token_hex(4)}").wait()
    yield made
    made.delete(stop=True)


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def prints(server: HarnessServer, job: str, text: str, attempt: str = "") -> None:
    """The entry point prints something."""
    name = f"job-driver-{job}{attempt}.log"
    for instance, files in server.world.logs.items():
        for node, known in files:
            if known == name:
                server.world.write_log(instance, node, name, text)
                return
    raise AssertionError(f"{job} has no log")


def test_what_the_front_page_shows(
    server: HarnessServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HELIOSTAT_HOME", str(server.home))
    (tmp_path / "main.py").write_text("print(1)")
    reports: list[JobInfo] = []
    job = heliostat.Job.submit("echo hello", working_dir=tmp_path, cluster_spec={"workers": 2, "cpu": 1}, name="front")
    assert job.info.working_dir is not None and job.info.working_dir.startswith("package://")
    assert job.info.cluster_spec is not None and job.info.cluster_spec["workers"][0]["replicas"] == 2
    text = "".join(job.follow())
    assert "hello" in text
    job.wait(check=True, on_progress=reports.append)
    assert (job.status, job.exit_code, job.ended) == ("Succeeded", 0, True)
    assert reports[-1].status == "Succeeded" and reports[-1].progress.step == "ended"
    assert job.log() == text and job.log(grep="hell[o]", tail=1).strip() == "hello"
    assert f"{job.id}_driver.log" in [row.name for row in job.logs()]
    assert "front" in job.why().summary
    assert {"Submitted", "Succeeded"} <= {event.reason for event in job.events()}
    assert all(event.job == job.id for event in job.events())
    until(lambda: job.refresh().info.settled)
    assert [event.reason for event in job.follow_events()] == [event.reason for event in job.events()[::-1]]
    assert [seen.status for seen in job.watch()] == ["Succeeded"]
    assert heliostat.Job.get("front").id == job.id
    assert job.id in [row.id for row in heliostat.Job.list(status=["Succeeded", "Failed"], name="front", limit=5)]
    assert job.log() == text, "after everything that it ran on is gone"
    job.delete()
    with pytest.raises(NotFound):
        job.refresh()


async def test_the_same_asynchronously(server: HarnessServer, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print(2)")
    async with heliostat.AsyncClient(server.url, server.token, server.workspace) as client:
        job = await client.jobs.submit("echo hello", working_dir=tmp_path, env={"MODE": "test"})
        assert job.info.runtime_env == {"env_vars": {"MODE": "test"}}
        text = "".join([piece async for piece in job.follow()])
        await job.wait(SECONDS, check=True)
        assert "hello" in text and await job.log() == text
        assert [row.id async for row in client.jobs.list(limit=1)] == [job.id]
        assert "".join([piece async for piece in client.jobs.read_log(job.id, offset=3)]) == text[3:]
        failed = await heliostat.AsyncJob.submit("exit 3", client=client)
        with pytest.raises(JobFailed, match="Failed"):
            await failed.wait(SECONDS, check=True)
        assert (failed.status, failed.exit_code, failed.info.cause) == ("Failed", 3, "user_error")
        with pytest.raises(TypeError, match="client"):
            await heliostat.AsyncJob.get(failed.id)


def test_code_is_uploaded_once(client: heliostat.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "main.py").write_text(secrets.token_hex(8))
    uploads = []
    sending = client._transport.upload
    monkeypatch.setattr(client._transport, "upload", lambda *arguments: uploads.append(1) or sending(*arguments))
    urls = {client.packages.upload(tmp_path) for _ in range(3)}
    assert len(urls) == len(uploads) == 1
    assert client.packages.has(urls.pop().removeprefix("package://"))
    assert not client.packages.has("0" * 64)
    archive = tmp_path.parent / f"{tmp_path.name}.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("main.py", bytes(3 << 20))
    first = client.jobs.submit("true", working_dir=str(archive))
    second = client.jobs.submit("true", working_dir=first.info.working_dir)
    assert first.info.working_dir == second.info.working_dir
    assert len(uploads) == 2 and archive.exists()
    assert second.wait(SECONDS).status == "Succeeded"


def test_sugar(client: heliostat.Client, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        "emoji==2.0  # faces\n\n# nothing\nrich>=13 \\\n  ,<15\n--extra-index-url https://host/simple\n"
    )
    job = client.jobs.submit(
        "true",
        requirements=requirements,
        pip=["torch"],
        env={"A": "b"},
        runtime_env={"env_vars": {"C": "d"}, "pip": {"packages": ["x"], "pip_check": False}},
        metadata={"run": "7"},
        tags={"team": "search"},
        resources={"cpus": 1, "memory": "1Gi"},
        deadline=60,
        retries={"limit": 2, "user_error": 0},
        ttl=1,
    )
    assert job.info.runtime_env == {
        "env_vars": {"C": "d", "A": "b"},
        "pip": {
            "packages": ["x", "torch", "emoji==2.0", "rich>=13    ,<15", "--extra-index-url https://host/simple"],
            "pip_check": False,
        },
    }
    assert (job.info.metadata, job.info.tags, job.info.deadline_seconds) == ({"run": "7"}, {"team": "search"}, 60)
    assert (job.info.raw["retries"]["limit"], job.info.raw["resources"]["memory"]) == (2, "1Gi")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("print(1)")
    (tmp_path / "code" / "data.bin").write_text("x")
    as_with_ray = client.jobs.submit("true", runtime_env={"working_dir": str(tmp_path / "code"), "excludes": ["*.bin"]})
    assert as_with_ray.info.runtime_env == {}
    assert as_with_ray.info.working_dir == client.packages.upload(tmp_path / "code", excludes=["*.bin"])


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"workers": 2}, "workers"),
        ({"cluster_spec": {"wrokers": 2}}, "wrokers"),
        ({"working_dir": "/nothing/there"}, "working_dir"),
        ({"working_dir": ".", "runtime_env": {"working_dir": "."}}, "runtime_env.working_dir"),
        ({"requirements": "/nothing/there"}, "requirements"),
        ({"pip": ["x"], "runtime_env": {"conda": "y"}}, "runtime_env.conda"),
        ({"env": {"A-B": "c"}}, "runtime_env.env_vars"),
        ({"deadline": 0}, "deadline_seconds"),
        ({"resources": {"cpu": 1}}, "resources.cpu"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(client: heliostat.Client, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.jobs.submit("true", **fields)
    assert caught.value.path == path


@pytest.mark.parametrize("line", ["-r other.txt", "--requirement=other.txt", "-e .", "./wheel.whl", "-c limits.txt"])
def test_requirements_that_name_files_of_this_machine_are_refused(tmp_path: Path, line: str) -> None:
    from heliostat.client.job_requests import submission

    (tmp_path / "requirements.txt").write_text(f"rich\n{line}\n")
    with pytest.raises(InvalidRequest, match="this machine"):
        submission("true", {"requirements": tmp_path / "requirements.txt"})


def test_a_key_submits_once(client: heliostat.Client) -> None:
    key = secrets.token_hex(8)
    assert client.jobs.submit("true", idempotency_key=key).id == client.jobs.submit("true", idempotency_key=key).id


def test_on_a_running_cluster_cancelled(client: heliostat.Client, cluster: heliostat.Cluster) -> None:
    job = client.jobs.submit("sleep 1000", cluster=cluster.name)
    assert job.cluster_id == cluster.id and not job.info.cluster.temporary
    until(lambda: job.refresh().status == "Running")
    with pytest.raises(Conflict, match="cancel it first"):
        job.delete()
    with pytest.raises(DeadlineExceeded, match="Running after"):
        job.wait(0.3)
    assert job.cancel().info.cancelled is True
    assert job.wait(SECONDS).status == "Cancelled"
    assert job.cancel().info.cancelled is False
    with pytest.raises(JobFailed):
        job.check()
    assert job.id in [row.id for row in client.jobs.list(cluster=cluster.name)]
    assert cluster.id in [row.id for row in client.clusters.list()]


def test_a_clusters_made_for_a_job_is_shown_when_asked_for(client: heliostat.Client) -> None:
    job = client.jobs.submit("sleep 1000")
    assert job.cluster_id not in [row.id for row in client.clusters.list()]
    found = {row.id: row.info.job for row in client.clusters.list(temporary=True)}
    assert found[job.cluster_id] == job.id
    job.cancel().wait(SECONDS)


def test_a_wait_ends_when_the_job_is_deleted(server: HarnessServer, client: heliostat.Client) -> None:
    job = client.jobs.submit("exit 1").wait(SECONDS)
    until(lambda: job.refresh().info.settled)
    client.jobs.delete(job.id)
    with pytest.raises(JobFailed, match="deleted"):
        job.wait(5)


def test_logs_of_a_clusters_runs(client: heliostat.Client) -> None:
    made = client.clusters.create(f"c-{secrets.token_hex(4)}").wait()
    made.delete(stop=True, wait=True)
    rows = until(lambda: client.clusters.logs(made.id))
    assert all(row.owner.startswith(f"{made.id}-") for row in rows)
    first = rows[0]
    text = "".join(client.clusters.read_log(made.id, first.owner, first.name))
    assert len(text.encode()) == first.size
    assert client.clusters.logs(made.id, instance="ray-0000000000000000-00000000") == []


def test_a_log_is_followed_while_it_grows(server: HarnessServer, client: heliostat.Client) -> None:
    job = client.jobs.submit("sleep 1000")
    until(lambda: job.refresh().status == "Running")
    seen: list[str] = []
    following = threading.Thread(target=lambda: seen.extend(job.follow()))
    following.start()
    for number in range(3):
        prints(server, job.id, f"line {number}\u2028\u0085\x0b\n")
        until(lambda number=number: f"line {number}\u2028\u0085\x0b\n" in "".join(seen))
    job.cancel()
    following.join(SECONDS)
    assert not following.is_alive()
    assert "".join(seen) == job.log()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_whatever_breaks_nothing_is_lost_or_doubled(
    server: HarnessServer, client: heliostat.Client, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "pause", lambda *_: 0.0)
    job = client.jobs.submit("sleep 1000")
    until(lambda: job.refresh().status == "Running")
    rng = random.Random(7)
    text = "".join(f"{number} \u00e4\u20ac\U0001f600{'x' * rng.randrange(3000)}\n" for number in range(300))
    before = until(job.log)
    begin = 0

    def write() -> None:
        nonlocal begin
        while begin < len(text):
            end = begin + rng.randrange(1, 20_000)
            prints(server, job.id, text[begin:end])
            begin = end
            time.sleep(0.01)
        job.cancel()

    cuts = 0

    def allowance() -> int | None:
        nonlocal cuts
        cuts += 1
        return rng.choice([300, 2000, 20_000, 100_000]) if cuts < 60 else None

    writing = threading.Thread(target=write)
    writing.start()
    with cutting(server.port, allowance) as url:
        if kind == "sync":
            with heliostat.Client(url, server.token, server.workspace, retries=50) as breaking:
                seen = "".join(breaking.jobs.follow_log(job.id))
                read = "".join(breaking.jobs.read_log(job.id))
        else:
            async with heliostat.AsyncClient(url, server.token, server.workspace, retries=50) as also:
                seen = "".join([piece async for piece in also.jobs.follow_log(job.id)])
                read = "".join([piece async for piece in also.jobs.read_log(job.id)])
    writing.join()
    assert cuts > 5
    assert seen == before + text
    assert read == seen


def test_a_follower_by_name_stays_with_its_job(
    server: HarnessServer, client: heliostat.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "pause", lambda *_: 0.0)
    name = secrets.token_hex(4)
    first = client.jobs.submit("sleep 1000", name=name)
    until(lambda: first.refresh().status == "Running")
    allowances = [4000]  # for the look at the job and the beginning of its log
    address = cutting(server.port, lambda: allowances.pop() if allowances else None)
    with address as url, heliostat.Client(url, server.token, server.workspace) as breaking:
        coming = breaking.jobs.follow_log(name)
        seen = [next(coming)]
        client.jobs.submit("echo other", name=name)
        prints(server, first.id, "x" * 5000)
        first.cancel()
        seen += coming
    assert not allowances
    assert "".join(seen) == until(first.log)
    assert "other" not in "".join(seen)


def test_a_long_log_is_read_in_pieces(server: HarnessServer, client: heliostat.Client) -> None:
    job = client.jobs.submit("sleep 1000")
    until(lambda: job.refresh().status == "Running")
    prints(server, job.id, "0123456789abcde\n" * (1 << 16))
    job.cancel().wait(SECONDS)
    until(lambda: job.refresh().info.logs_complete)
    pieces = list(client.jobs.read_log(job.id))
    assert len("".join(pieces)) > 1 << 20 and max(map(len, pieces)) < 1 << 18
    assert len(list(client.jobs.read_log(job.id, grep="^0123456789abcde$"))) > 1


def test_a_log_that_is_not_there(client: heliostat.Client) -> None:
    job = client.jobs.submit("true").wait(SECONDS)
    for call in (client.jobs.read_log, client.jobs.follow_log):
        with pytest.raises(NotFound):
            list(call("rj-0000000000000000"))
    with pytest.raises(NotFound):
        list(client.jobs.read_log(job.id, attempt=7))
    with pytest.raises(InvalidRequest, match="regular expression"):
        list(client.jobs.read_log(job.id, grep="("))


def test_names_of_logs_are_the_servers(client: heliostat.Client) -> None:
    job = client.jobs.submit("echo x").wait(SECONDS)
    until(lambda: job.refresh().info.logs_complete)
    assert job.info.attempts[0].log == driver_log(JobId(job.id))
    assert "".join(client.jobs.read_log(job.id, job.info.attempts[0].log)) == job.log()
