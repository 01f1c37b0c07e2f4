"""What happens when something dies: the node, a helper, the shim, the zygote."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat_node import processes
from heliostat_node.protocol import NodeSpec, start_ticks

from .support import Instance, Release, Zygote, command, until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STRAY = (
    "import os, subprocess, sys, time, ray; ray.init();"
    "child = subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3, stderr=-3);"
    "print('STRAY', child.pid, flush=True); time.sleep(600)"
)


@pytest.fixture(scope="module")
def pair(release: Release, make_instance: Callable[..., Instance]) -> Instance:
    """A head and a worker, ready for jobs."""
    instance = make_instance(release)
    for kind in ("head", "worker"):
        instance.start(instance.spec(kind))
    instance.wait_registered(*instance.specs)
    instance.wait_dashboard()
    return instance


def stray_of_a_job(instance: Instance) -> int:
    """Pid of a daemon that a running job has left behind in a session of its own."""
    submission = instance.submit(f'python -c "{STRAY}"')

    def printed() -> list[str]:
        assert (state := instance.job(submission))["status"] in ("PENDING", "RUNNING"), state["message"]
        return [line for line in instance.job_logs(submission).splitlines() if line.startswith("STRAY")]

    return int(until(printed, f"stray: {instance.job(submission)}")[0].split()[1])


def dead_in_gcs(instance: Instance, ray_node_id: str) -> bool:
    """Whether the cluster says that a node is dead."""
    nodes = instance.http("/api/v0/nodes?limit=100")["data"]["result"]["result"]
    return any(node["node_id"] == ray_node_id and node["state"] == "DEAD" for node in nodes)


def test_a_dead_helper_is_restarted(pair: Instance) -> None:
    head = pair.specs[0]
    monitor = [pid for pid in pair.pids(head) if "monitor.py" in command(pid) and "log_monitor" not in command(pid)]
    dashboard = [pid for pid in pair.pids(head) if "dashboard.py" in command(pid) or command(pid) == "ray::Dashboard"]
    assert monitor
    assert dashboard
    processes.send([*monitor, dashboard[0]], signal.SIGKILL)
    until(lambda: pair.status(head).restarts.get("monitor"), "restart of the monitor", 20)
    until(lambda: pair.status(head).restarts.get("dashboard"), "restart of the dashboard", 20)

    def answers() -> bool:
        try:
            return bool(pair.http("/api/version"))
        except OSError:
            return False

    until(answers, "the dashboard answers again")
    assert pair.status(head).phase == "registered"
    assert pair.status(pair.specs[1]).restarts == {}


def test_a_second_shim_for_the_same_node_changes_nothing(pair: Instance) -> None:
    worker = pair.specs[1]
    before = pair.status(worker)
    second = pair.zygote.ask(op="start", directory=worker.directory)["pid"]
    until(lambda: start_ticks(second) is None, "end of the second shim", 10)
    assert pair.status(worker) == before
    assert "another shim" in Path(worker.directory, "shim.log").read_text()


def test_when_a_shim_was_killed_the_engine_can_tell_the_cluster(pair: Instance) -> None:
    worker = pair.spec("worker")
    pid = pair.start(worker)
    pair.wait_registered(worker)
    node = pair.status(worker).ray_node_id
    os.kill(pid, signal.SIGKILL)
    assert processes.kill_node(worker.node, pid) == set()
    request = {"gcs_address": f"127.0.0.1:{pair.gcs_port}", "ray_node_id": node, "token_path": worker.token_path}
    obituary = pair.zygote.ask(op="mourn", reason="It was killed.", **request)["pid"]
    until(lambda: dead_in_gcs(pair, node), "the cluster knows", 3)
    until(lambda: start_ticks(obituary) is None, "end of the process that told it", 3)


def test_the_zygote_may_die(pair: Instance) -> None:
    pair.zygote.process.kill()
    pair.zygote.process.wait()
    time.sleep(0.2)
    assert {pair.status(spec).phase for spec in pair.specs} == {"registered"}
    pair.wait_job(pair.submit("true"))


def test_when_the_raylet_dies_the_shim_ends_the_node_and_says_why(pair: Instance) -> None:
    worker = pair.specs[1]
    status = pair.status(worker)
    os.kill(status.raylet_pid, signal.SIGKILL)
    until(lambda: dead_in_gcs(pair, status.ray_node_id), "the cluster knows", 3)
    ended = pair.wait_exited(worker)
    assert ended.exit_reason.startswith("The node's raylet was killed by signal 9.")
    assert pair.pids(worker) == set()


def test_when_the_gcs_dies_the_shim_ends_the_head_with_all_that_jobs_started(pair: Instance) -> None:
    head = pair.specs[0]
    stray = stray_of_a_job(pair)
    assert stray in pair.pids(head)
    os.kill(pair.status(head).gcs_pid, signal.SIGKILL)
    ended = pair.wait_exited(head)
    assert ended.exit_reason.startswith("The node's gcs_server was killed by signal 9.")
    assert pair.all_pids() == set()
    assert start_ticks(stray) is None


def test_what_a_killed_shim_leaves_is_found_and_killed(
    release: Release, make_instance: Callable[..., Instance]
) -> None:
    instance = make_instance(release)
    instance.zygote = Zygote(release.python)
    head = instance.spec("head")
    pid = instance.start(head)
    instance.wait_dashboard()
    stray = stray_of_a_job(instance)
    instance.zygote.close()
    os.kill(pid, signal.SIGKILL)
    until(lambda: start_ticks(pid) is None, "end of the shim", 5)
    assert start_ticks(stray) is not None
    assert stray in processes.of_node(head.node, pid)
    started = time.monotonic()
    assert processes.kill_node(head.node, pid) == set()
    assert time.monotonic() - started < 5
    assert start_ticks(stray) is None
    until(lambda: not named_in(head), "Ray's own processes, which end by themselves", 10)


def test_a_node_without_a_zygote_is_the_same(newest: Release, make_instance: Callable[..., Instance]) -> None:
    import subprocess

    from .support import BOOTSTRAP

    instance = make_instance(newest)
    head = instance.spec("head")
    process = subprocess.Popen([newest.python, BOOTSTRAP, "node", head.directory])
    until(lambda: Path(head.directory, "status.json").exists(), "status", 20)
    instance.wait_registered(head)
    assert instance.status(head).pid == process.pid
    process.terminate()
    assert process.wait(10) == 0
    assert instance.all_pids() == set()


def test_a_node_that_cannot_start_says_why(release: Release, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(release)
    head = instance.spec("head", ray_params={"plasma_directory": "/nowhere"})
    answer = instance.zygote.ask(op="start", directory=head.directory)
    assert answer["pid"]
    until(lambda: Path(head.directory, "status.json").exists(), "status", 10)
    ended = instance.wait_exited(head, 60)
    assert "/nowhere" in ended.exit_reason
    assert instance.all_pids() == set()


def test_a_stop_during_the_start_leaves_nothing(newest: Release, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(newest)
    head = instance.spec("head")
    pid = instance.start(head)
    until(lambda: instance.status(head).gcs_pid, "the GCS process", 20)
    os.kill(pid, signal.SIGTERM)
    assert instance.wait_exited(head).exit_reason == "The node was stopped."
    assert instance.all_pids() == set()


def named_in(spec: NodeSpec) -> list[int]:
    """Processes with the node's directory in their command line."""
    return [pid for pid in processes.table() if spec.directory in command(pid)]
