"""Forked helpers live and die like executed ones; what may not be forked is executed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat_node import nursery, processes
from heliostat_node.environment import changes_imports
from heliostat_node.protocol import NodeSpec, start_ticks

from .support import Instance, Release, command, until


def trampolines(instance: Instance, spec: NodeSpec, name: str) -> list[int]:
    """Trampolines of a node for a script."""
    pids = processes.descendants(instance.status(spec).pid)
    return [pid for pid in pids if "trampoline.py" in " ".join(command(pid).split()[:4]) and name in command(pid)]


def trampoline_of(instance: Instance, spec: NodeSpec, name: str) -> int:
    """The one trampoline of a node for a script, which may have to be started first."""
    (pid,) = until(lambda: trampolines(instance, spec, name), f"a trampoline for {name}", 10)
    return pid


def grandchildren(instance: Instance, spec: NodeSpec) -> set[int]:
    """What the node's nursery has forked."""
    shim = instance.status(spec).pid
    table = processes.table()
    children = [process.pid for process in table.values() if process.parent == shim]
    nurseries = [pid for pid in children if command(pid) == command(shim)]
    assert len(nurseries) <= 1
    return {process.pid for process in table.values() if process.parent in nurseries and process.alive}


@pytest.fixture(scope="module")
def node(newest: Release, make_instance: Callable[..., Instance]) -> Instance:
    """A head and a worker."""
    instance = make_instance(newest)
    for kind in ("head", "worker"):
        instance.start(instance.spec(kind))
    instance.wait_registered(*instance.specs)
    instance.wait_dashboard()
    return instance


@pytest.mark.ray
@pytest.mark.slow
def test_a_helper_dies_with_its_trampoline_and_is_restarted(node: Instance) -> None:
    head = node.specs[0]
    before = grandchildren(node, head)
    assert len(before) >= 3
    trampoline = trampoline_of(node, head, "log_monitor.py")
    os.kill(trampoline, signal.SIGKILL)
    until(lambda: node.status(head).restarts.get("log_monitor"), "restart", 10)
    until(lambda: len(trampolines(node, head, "log_monitor.py")) == 1, "the new trampoline", 10)
    until(lambda: len(grandchildren(node, head)) == len(before), "the new log monitor", 10)
    assert len(before - grandchildren(node, head)) == 1


@pytest.mark.ray
@pytest.mark.slow
def test_a_trampoline_passes_signals_on_and_ends_with_its_helper(node: Instance) -> None:
    head = node.specs[0]
    trampoline = trampoline_of(node, head, "log_monitor.py")
    before = grandchildren(node, head)
    os.kill(trampoline, signal.SIGTERM)
    until(lambda: start_ticks(trampoline) is None, "the end of the trampoline", 10)
    until(lambda: len(before - grandchildren(node, head)) == 1, "the end of the helper", 10)


@pytest.mark.ray
@pytest.mark.slow
def test_when_an_agent_dies_the_node_ends(node: Instance) -> None:
    worker = node.specs[1]
    trampoline = trampoline_of(node, worker, "runtime_env/agent/main.py")
    os.kill(trampoline, signal.SIGKILL)
    assert "raylet" in node.wait_exited(worker).exit_reason
    assert node.pids(worker) == set()


@pytest.mark.ray
@pytest.mark.slow
def test_when_the_nursery_dies_the_node_ends_and_the_cluster_knows(node: Instance) -> None:
    worker = node.spec("worker")
    shim = node.start(worker)
    node.wait_registered(worker)
    lost = node.status(worker).ray_node_id
    table = processes.table()
    (pid,) = [p.pid for p in table.values() if p.parent == shim and command(p.pid) == command(shim)]
    os.kill(pid, signal.SIGKILL)
    assert node.wait_exited(worker).exit_reason
    assert node.pids(worker) == set()

    def known() -> bool:
        nodes = node.http("/api/v0/nodes?limit=100")["data"]["result"]["result"]
        return any(item["node_id"] == lost and item["state"] == "DEAD" for item in nodes)

    until(known, "the cluster knows", 3)


@pytest.mark.ray
@pytest.mark.slow
def test_variables_that_are_read_at_import_make_helpers_executed(node: Instance) -> None:
    worker = node.spec("worker")
    environment = {**worker.environment, "RAY_DASHBOARD_STATS_UPDATING_INTERVAL_MS": "20000"}
    worker = node.spec("worker", environment=environment)
    node.start(worker)
    node.wait_registered(worker)
    assert trampolines(node, worker, "") == []
    assert [pid for pid in node.pids(worker) if "log_monitor.py" in command(pid)]


def test_which_variables_count() -> None:
    assert changes_imports({"RAY_BACKEND_LOG_LEVEL": "debug"})
    assert changes_imports({"LD_PRELOAD": "x.so"})
    assert not changes_imports({"HOME": "/", "AWS_REGION": "x", "RAY_ROTATION_MAX_BYTES": "1", "PATH": "/bin"})


def test_only_known_commands_are_wrapped() -> None:
    path = Path("/socket")
    agent = [sys.executable, "-u", "/env/ray/dashboard/agent.py", "--x=1"]
    prefix = [sys.executable, "-I", "-S", str(nursery.TRAMPOLINE), "/socket"]
    assert nursery.wrapped(agent, path) == [*prefix, *agent]
    for other in (["/other/python", *agent[1:]], [sys.executable, "-m", "ray"], ["gcs_server", "a b"]):
        assert nursery.wrapped(other, path) == other
    module = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=1, pipe_handle=2)"
    child = [sys.executable, "-I", "-c", module, "--multiprocessing-fork"]
    assert nursery.wrapped(child, path) == [*prefix, *child]
    for code in ("print()", "from multiprocessing.resource_tracker import main"):
        assert nursery.wrapped([sys.executable, "-c", code], path) == [sys.executable, "-c", code]
    raylet = ["raylet", f"--dashboard_agent_command={subprocess.list2cmdline(agent)}", "--other=1"]
    expected = f"--dashboard_agent_command={subprocess.list2cmdline([*prefix, *agent])}"
    assert nursery.wrapped(raylet, path) == ["raylet", expected, "--other=1"]


def test_without_a_nursery_the_trampoline_becomes_the_command(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import os, sys; print(os.getpid()); sys.exit(3)"]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(nursery.TRAMPOLINE), str(tmp_path / "nothing"), *program],
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 3
    assert int(output) == process.pid
