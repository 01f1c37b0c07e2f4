"""A whole instance on each release: it starts, listens on loopback alone, runs a job, and is gone when stopped."""

from __future__ import annotations

import http.client
import json
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat_node import processes
from heliostat_node.protocol import start_ticks

from .support import Instance, Release, command, listeners, until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

JOB = textwrap.dedent(
    """
    import json, os, pathlib, sys, time
    import ray
    ray.init(address="auto")

    @ray.remote(num_cpus=1)
    class Here:
        def where(self):
            return {
                "node": ray.get_runtime_context().get_node_id(),
                "path": sys.path,
                "environment": {k: v for k, v in os.environ.items() if k.startswith(("PYTHON", "HELIOSTAT"))},
            }

    actors = [Here.options(scheduling_strategy="SPREAD").remote() for _ in range(3)]
    facts = ray.get([actor.where.remote() for actor in actors])
    print("FACTS " + json.dumps({"workers": facts, "driver_path": sys.path, "nodes": ray.nodes()}), flush=True)
    go = pathlib.Path(os.environ["GO"])
    while not go.exists():
        time.sleep(0.05)
    """
)


@pytest.fixture(scope="module")
def running(release: Release, make_instance: Callable[..., Instance]) -> Instance:
    """A head and two workers, started at once, with a Ray Client server and a dashboard."""
    instance = make_instance(release, client=True)
    head = instance.spec("head")
    workers = [instance.spec("worker", cpus=2, labels={"zone": "a"}, resources={"disk": 2}) for _ in range(2)]
    for spec in (*workers, head):
        instance.start(spec)
    instance.wait_registered(*instance.specs)
    instance.wait_dashboard()
    return instance


def facts(instance: Instance, submission: str) -> dict:  # type: ignore[type-arg]
    """The line that the job prints."""
    lines = instance.job_logs(submission).splitlines()
    return next((json.loads(line[6:]) for line in lines if line.startswith("FACTS ")), {})


def test_a_job_uses_all_nodes_and_every_listener_is_on_loopback(running: Instance, tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(JOB)
    environment = {"GO": str(tmp_path / "go")}
    submission = running.submit(f"python {program}", runtime_env={"env_vars": environment})
    seen = until(lambda: facts(running, submission), "facts of the job")

    found = listeners(running.all_pids())
    open_to_all = [listener for listener in found if not listener.loopback]
    commands = " ".join(listener.command for listener in found)

    (tmp_path / "go").touch()
    running.wait_job(submission)

    assert len({worker["node"] for worker in seen["workers"]}) >= 2
    assert open_to_all == []
    for process in ("gcs_server", "raylet", "dashboard", "Here", "job.py"):
        assert process in commands, (process, commands)
    assert {node["Alive"] for node in seen["nodes"]} == {True}
    assert len(seen["nodes"]) == 3


def test_users_code_sees_neither_our_package_nor_our_python_settings(running: Instance, tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(JOB)
    (tmp_path / "go").touch()
    submission = running.submit(f"python {program}", runtime_env={"env_vars": {"GO": str(tmp_path / "go")}})
    running.wait_job(submission)
    seen = facts(running, submission)
    source = str(Path(__file__).parents[2] / "src")
    for paths in (seen["driver_path"], *(worker["path"] for worker in seen["workers"])):
        assert source not in paths
    for worker in seen["workers"]:
        names = {name for name in worker["environment"] if name.startswith("PYTHON")} - {"PYTHONBREAKPOINT"}
        assert names <= {"PYTHONUNBUFFERED"}, worker
        assert worker["environment"]["HELIOSTAT_NODE"].startswith(running.id)


def test_resources_and_labels_are_what_the_spec_says(running: Instance) -> None:
    nodes = running.http("/nodes?view=summary")["data"]["summary"]
    status = {running.status(spec).ray_node_id: spec for spec in running.specs}
    assert {node["raylet"]["nodeId"] for node in nodes} == set(status)
    for node in nodes:
        spec = status[node["raylet"]["nodeId"]]
        total = node["raylet"]["resourcesTotal"]
        assert total["CPU"] == spec.cpus
        assert total["memory"] == spec.memory_bytes
        assert total.get("disk", 0) == spec.resources.get("disk", 0)


def test_the_token_is_asked_for_where_the_release_has_it(running: Instance) -> None:
    if not running.release.features.token_auth:
        assert running.http("/api/version", token=None)["ray_version"] == running.release.version
        return
    for token, code in ((None, 401), ("wrong", 403)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            running.http("/api/version", token=token)
        assert caught.value.code == code


def test_agents_are_forked_and_agents_still(running: Instance) -> None:
    """The agents' command lines are the trampolines'; what they forked serves HTTP, asks for the token, sees workers."""
    for spec in running.specs:
        shim = running.status(spec).pid
        assert [pid for pid in processes.descendants(shim) if "trampoline.py" in command(pid)]
    nodes = running.http("/api/v0/nodes?detail=1")["data"]["result"]["result"]
    assert {node["state"] for node in nodes} == {"ALIVE"}

    def raylets() -> bool:
        summary = running.http("/nodes?view=summary")["data"]["summary"]
        return all("raylet" in node.get("cmdline", [""])[0] for node in summary)

    until(raylets, "each agent reports the raylet as its parent", 20)
    agents = [listener for listener in listeners(running.all_pids()) if "agent" in listener.command.lower()]
    assert agents
    if running.release.features.token_auth:
        refused = [code_of(f"http://127.0.0.1:{agent.port}/api/job_agent/jobs/") for agent in agents]
        assert refused.count(401) >= len(running.specs), list(zip(agents, refused, strict=True))


def code_of(url: str) -> int:
    """HTTP status of a request without a token; 0 for what is no HTTP."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return 0


def test_a_stop_is_fast_and_leaves_nothing(running: Instance) -> None:
    pids = {spec.node: running.status(spec).pid for spec in running.specs}
    running.stop()
    for spec in running.specs:
        status = running.status(spec)
        assert status.exit_reason == "The node was stopped."
        assert start_ticks(pids[spec.node]) is None
    assert running.all_pids() == set()
