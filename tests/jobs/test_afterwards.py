"""What is left of jobs when the cluster that they ran on is deleted: all that was promised, and no secret."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliostat.client import Client, Forbidden, NotFound
from heliostat.client.sync.cluster import Cluster
from heliostat.client.sync.job import Job
from heliostat.domain.masking import MASK

from .support import Server, lines, serving, settled

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(200)]
OF_JOB, OF_NODE = f"job-{secrets.token_hex(12)}", f"node-{secrets.token_hex(12)}"
TELLING = """
import os, sys, ray

ray.init()
words = os.environ["DB_PASSWORD"], os.environ["NODE_TOKEN"]

@ray.remote(num_cpus=0.1)
def tell():
    print("task", *words, flush=True)
    print("task", *words, file=sys.stderr, flush=True)

ray.get([tell.remote() for _ in range(2)])
print("driver", *words, repr(words), os.environ["GREETING"])
"""
FAILING = """
import os
words = os.environ["DB_PASSWORD"], os.environ["NODE_TOKEN"]
raise RuntimeError(f"no login with {words[0]} or {words[1]}")
"""
WORKING = """
import ray

ray.init(log_to_driver=False)

@ray.remote(num_cpus=0.1)
def square(number):
    return number * number

@ray.remote(num_cpus=0.1)
def cube(number):
    return number ** 3

@ray.remote(num_cpus=0.1)
class Counter:
    def count(self):
        return 1

counters = [Counter.remote() for _ in range(2)]
print("sum", sum(ray.get([square.remote(n) for n in range(7)] + [cube.remote(n) for n in range(3)])))
print("counted", sum(ray.get([counter.count.remote() for counter in counters])))
"""


@dataclass(frozen=True)
class Past:
    """A cluster that was, and the jobs on it."""

    server: Server
    cluster: Cluster
    telling: Job
    failing: Job
    working: Job
    viewer: Client
    before: str
    """What a viewer got to see while it was there."""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory, ray_environments_folder: Path) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("past")
    with serving(folder, ray_environments_folder) as server:
        client = server.client
        viewer = viewer_of(server)
        cluster = client.clusters.create("c", workers=1, cpu=2, memory="1Gi", env={"NODE_TOKEN": OF_NODE})
        jobs = []
        for name, program in (("telling", TELLING), ("failing", FAILING), ("working", WORKING)):
            (folder / name).mkdir()
            (folder / name / "main.py").write_text(program)
            env = {"DB_PASSWORD": OF_JOB, "GREETING": "welcome"} if name != "working" else {}
            job = client.jobs.submit(
                "python main.py", name=name, cluster="c", working_dir=folder / name, env=env, tags={"of": "past"}
            )
            jobs.append(job)
        for job in jobs:
            settled(job)
        before = all_that_is_shown(viewer, jobs) + shown_of_cluster(viewer, cluster)
        cluster.delete(stop=True)
        server.nothing_is_left()
        try:
            yield Past(server, cluster, *jobs, viewer, before)
        finally:
            viewer.close()


def viewer_of(server: Server) -> Client:
    admin = server.client
    key = admin.keys.create(principal="eve")
    admin.workspaces.grant("eve", "viewer")
    return Client(endpoint=admin.endpoint, token=key.secret, workspace=admin.workspace())


def all_that_is_shown(client: Client, jobs: list[Job]) -> str:
    """Of the jobs, wherever it can be asked for."""
    shown = [row.info.raw for row in client.jobs.list()]
    for job in jobs:
        shown.append(client.jobs.get(job.id).info.raw)
        shown += [event.raw for event in client.jobs.events(job.id)]
        shown.append(client.jobs.why(job.id).raw)
    return json.dumps(shown)


def shown_of_cluster(client: Client, cluster: Cluster) -> str:
    shown = [row.info.raw for row in client.clusters.list()]
    shown += [client.clusters.get(cluster.id).info.raw, client.clusters.why(cluster.id).raw]
    shown += [event.raw for event in client.clusters.events(cluster.id)]
    shown += [node.raw for node in client.clusters.nodes(cluster.id)]
    return json.dumps(shown)


def test_what_was_printed_and_what_happened_can_be_read(past: Past) -> None:
    with pytest.raises(NotFound):
        past.cluster.refresh()
    job = past.working.refresh()
    assert (job.status, job.exit_code) == ("Succeeded", 0), job.message
    assert lines(job.log(), "sum") == [f"sum {sum(n * n for n in range(7)) + sum(n**3 for n in range(3))}"]
    assert lines(job.log(), "counted") == ["counted 2"]
    assert job.log(grep="^counted").splitlines() == ["counted 2"]
    assert job.log(tail=1).splitlines() == ["counted 2"]
    (file,) = job.logs()
    assert file.complete and file.size == len(job.log().encode())
    reasons = [event.reason for event in reversed(job.events())]
    assert reasons == ["Submitted", "SubmittedToRay", "Running", "Succeeded"]
    assert {row.name for row in past.server.client.jobs.list(cluster=past.cluster.id)} == {
        "telling",
        "failing",
        "working",
    }
    assert job.info.cluster.name == "c"


def test_what_it_used_and_did_can_be_read(past: Past) -> None:
    info = past.working.refresh().info
    usage, nodes = info.usage, 2
    assert usage.peak_nodes == nodes
    assert usage.node_seconds == pytest.approx(nodes * info.run_seconds, rel=0.1)
    assert usage.cpu_hours == pytest.approx(2 * usage.node_seconds / 3600)
    assert usage.cu_hours == pytest.approx(2 * usage.node_seconds / 3600), "cores count, being more than GiB / 4"
    summary = info.summary
    assert summary is not None and not summary.truncated
    tasks = {row.name: sum(row.states.values()) for row in summary.tasks}
    assert tasks["square"] == 7 and tasks["cube"] == 3, tasks
    actors = {row.name: sum(row.states.values()) for row in summary.actors}
    assert actors["Counter"] == 2, actors


def test_the_logs_of_its_nodes_can_be_read(past: Past) -> None:
    files = past.server.client.clusters.logs(past.cluster.id)
    names = {Path(row.name).name for row in files}
    assert {"raylet.out", "gcs_server.out", "shim.log"} <= names, names
    assert all(row.complete for row in files)
    told = [row for row in files if Path(row.name).name.startswith("worker-") and row.name.endswith(".out")]
    texts = ["".join(past.server.client.clusters.read_log(past.cluster.id, row.owner, row.name)) for row in told]
    assert any(f"task {MASK} {MASK}" in text for text in texts), "what a task printed is there, without its secrets"


def test_a_log_says_all_but_its_secrets(past: Past) -> None:
    assert past.telling.status == "Succeeded", past.telling.message
    text = past.telling.log()
    hidden = f"driver {MASK} {MASK} ({MASK!r}, {MASK!r}) welcome"
    assert lines(text, "driver") == [hidden]
    assert text.count(f"task {MASK} {MASK}") == 4, "two tasks, each on both of its outputs"


def test_an_error_says_all_but_its_secrets(past: Past) -> None:
    job = past.failing.refresh()
    assert (job.status, job.exit_code, job.info.cause) == ("Failed", 1, "user_error")
    assert "no login with" in job.message


def test_no_secret_is_shown(past: Past) -> None:
    jobs = [past.telling, past.failing, past.working]
    admin = past.server.client
    of_admin = json.dumps([row.info.raw for row in admin.jobs.list()])
    for name, shown in (
        ("to a viewer, while it was there", past.before),
        ("to a viewer, afterwards", all_that_is_shown(past.viewer, jobs)),
        ("in a list", of_admin),
        ("in events", json.dumps([event.raw for job in jobs for event in admin.jobs.events(job.id)])),
        ("in reasons", json.dumps([admin.jobs.why(job.id).raw for job in jobs])),
    ):
        assert OF_JOB not in shown, name
        assert OF_NODE not in shown, name
    with pytest.raises(Forbidden):
        past.viewer.jobs.logs(past.telling.id)
    assert past.telling.refresh().info.runtime_env["env_vars"]["DB_PASSWORD"] == OF_JOB, "its owner may see it"


def test_no_secret_is_in_any_file(past: Past) -> None:
    """Storage folder, database, the server's own log: everything that is left in the home folder."""
    home = past.server.home
    found = []
    for folder, inner, names in os.walk(home):
        inner[:] = [name for name in inner if name != "environments"]
        for name in names:
            if not (Path(folder) / name).is_file():
                continue  # a socket
            content = (Path(folder) / name).read_bytes()
            found += [str(Path(folder) / name) for word in (OF_JOB, OF_NODE) if word.encode() in content]
    assert (home / "heliostat.db").stat().st_size > 0
    assert found == []
