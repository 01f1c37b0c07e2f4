"""Noticing and ending processes that are not ours to wait for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.engines.local.processes import ExitWatch, Shim, kill_tree, members
from heliostat_node.protocol import start_ticks

TREE = """
import os, subprocess, sys, time
os.setsid()
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["setsid", "sleep", "601"], env={"HELIOSTAT_NODE": sys.argv[1], "PATH": os.environ["PATH"]})
log = open(sys.argv[2] + "/log", "w")
subprocess.Popen(["sleep", "602"], stdout=log)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[str, Shim]]:
    """A process with a child in its session, one that writes to a folder, and a stray one; its node and itself."""
    node = f"test-{os.getpid()}-{tmp_path.name}"
    process = subprocess.Popen([sys.executable, "-c", TREE, node, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    shim = Shim(process.pid, start_ticks(process.pid) or 0)
    yield node, shim
    kill_tree(node, shim, [tmp_path])
    process.wait()
    process.stdout.close()


def test_all_of_a_living_node_is_ended(tree: tuple[str, Shim], tmp_path: Path) -> None:
    node, shim = tree
    assert len(members(node, shim, [tmp_path])) == 4
    assert kill_tree(node, shim, [tmp_path]) == set()
    assert not shim.alive
    assert members(node, shim, [tmp_path]) == set()


def test_what_a_dead_node_left_is_ended(tree: tuple[str, Shim], tmp_path: Path) -> None:
    node, shim = tree
    assert shim.send(signal.SIGKILL)
    os.waitpid(shim.pid, 0)
    assert len(members(node, shim, [tmp_path])) == 3
    assert kill_tree(node, shim, [tmp_path]) == set()


def test_a_session_in_its_second_life_is_not_touched(tree: tuple[str, Shim], tmp_path: Path) -> None:
    _, shim = tree
    earlier = Shim(shim.pid, shim.start_ticks - 1)
    assert members("nobody", earlier, [tmp_path]) == set()
    assert not earlier.alive
    assert not earlier.send(signal.SIGKILL)
    assert shim.alive


def test_a_leaderless_session_that_has_nothing_of_the_node_open_is_not_touched(
    tree: tuple[str, Shim], tmp_path: Path
) -> None:
    _, shim = tree
    shim.send(signal.SIGKILL)
    os.waitpid(shim.pid, 0)
    assert members("nobody", shim, [tmp_path / "elsewhere"]) == set()
    assert len(members("nobody", shim, [tmp_path])) == 2


def test_named_semaphores_of_the_dead_are_removed(tmp_path: Path) -> None:
    code = (
        "import multiprocessing, os, time; os.setsid(); lock = multiprocessing.get_context('spawn').Lock(); "
        "print(lock._semlock.name, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        name = process.stdout.readline().decode().strip().lstrip("/")
        file = Path("/dev/shm") / f"sem.{name}"
        assert file.exists()
        kill_tree("nobody", Shim(process.pid, start_ticks(process.pid) or 0), [tmp_path])
    assert not file.exists()


def orphan() -> Shim:
    """A process whose parent is gone."""
    code = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid)"
    pid = int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout)
    return Shim(pid, start_ticks(pid) or 0)


async def test_an_exit_is_noticed_whoever_the_parent_is() -> None:
    watch = ExitWatch()
    shim = orphan()
    ended = asyncio.Event()
    try:
        watch.watch(shim, ended.set)
        watch.watch(shim, ended.set)
        await asyncio.sleep(0.05)
        assert not ended.is_set()
    finally:
        shim.send(signal.SIGKILL)
    await asyncio.wait_for(ended.wait(), 5)
    watch.close()


async def test_an_exit_that_has_happened_is_told_at_once() -> None:
    watch = ExitWatch()
    ended = asyncio.Event()
    watch.watch(Shim(os.getpid(), 1), ended.set)
    await asyncio.wait_for(ended.wait(), 5)
    watch.close()
