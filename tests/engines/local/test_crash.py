"""The server is killed at any point; a new engine on the same folder converges, and starts nothing twice (invariant 2)."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat.domain.engine import InstancePlan, Scaling, Step
from heliostat.engines.local import LocalSettings, supervisor
from heliostat.engines.local.records import InstanceRecord

from ..conformance import plan, until
from .kit import Healthy, Lab

REPOSITORY = Path(__file__).parents[3]


class Crash(BaseException):
    """The server is gone. No Exception, so that nothing handles it."""


def crash_at(save: int, after: bool, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Let the engine end at the n-th time that a record is saved, before or after it is; says whether it has."""
    real = supervisor.write_record
    count = 0

    def write(folder: Path, record: InstanceRecord) -> None:
        nonlocal count
        count += 1
        if count < save:
            real(folder, record)
            return
        if count == save and after:
            real(folder, record)
        raise Crash

    monkeypatch.setattr(supervisor, "write_record", write)
    return lambda: count >= save


async def converged(lab: Lab, wanted: InstancePlan) -> None:
    """Apply and wait until it is up; exactly the wanted nodes must run."""
    await lab.engine.apply(wanted)
    seen = await until(lab.engine, wanted.instance, lambda seen: seen.complete and seen.step is Step.UP, "it is up")
    assert len(seen.nodes) == 3
    shims = {node.pid for node in seen.nodes}
    # Each fake node is its shim, a child, and a stray child that carries the node's environment; and there is a zygote. A
    # child that has just been forked is told from its parent only when it has become what it is to be.
    try:
        async with asyncio.timeout(20):
            while len(_others(lab, shims)) > 1:
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(_others(lab, shims)) from None
    processes = lab.processes()
    assert shims <= processes.keys()
    assert sum("sleep" in command for command in processes.values()) <= 6


def _others(lab: Lab, shims: set[int | None]) -> dict[int, str]:
    """Processes that are neither nodes nor their children."""
    processes = lab.processes()
    return {pid: command for pid, command in processes.items() if pid not in shims and "sleep" not in command}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("save", range(1, 9))
async def test_a_crash_at_any_save_of_a_start_converges(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, save: int, after: bool
) -> None:
    lab = Lab(settings, health=Healthy())
    await lab.open()
    wanted = plan()
    with monkeypatch.context() as patch:
        crashed = crash_at(save, after, patch)
        try:
            await lab.engine.apply(wanted)
            async with asyncio.timeout(3):
                while not crashed() and (await lab.engine.observe(wanted.instance)).step is not Step.UP:
                    await asyncio.sleep(0.01)
        except Crash:
            pass
        try:
            await lab.engine.close()
        except Crash:
            pytest.fail("closing saves nothing")
    await lab.open()
    try:
        await converged(lab, wanted)
    finally:
        await lab.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("save", [1, 2, 4, 6])
async def test_a_crash_at_any_save_of_a_change_converges(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, save: int, after: bool
) -> None:
    """A worker goes while the other one is renewed."""
    lab = Lab(settings, health=Healthy())
    await lab.open()
    wanted = plan()
    await lab.engine.apply(wanted)
    before = await until(lab.engine, wanted.instance, lambda seen: seen.complete and seen.step is Step.UP, "it is up")
    newer = plan(wanted.instance, workers=1, generation=2, renew=2)
    with monkeypatch.context() as patch:
        crashed = crash_at(save, after, patch)
        try:
            await lab.engine.apply(newer)
            async with asyncio.timeout(10):
                while not crashed():
                    await lab.engine.observe(wanted.instance)
                    await asyncio.sleep(0.01)
        except Crash:
            pass
        try:
            await lab.engine.close()
        except Crash:
            pytest.fail("closing saves nothing")
    await lab.open()
    try:
        await lab.engine.apply(newer)
        seen = await until(
            lab.engine,
            wanted.instance,
            lambda seen: seen.complete and len(seen.nodes) == 2 and all(node.generation == 2 for node in seen.nodes),
            "one new worker is left",
        )
        assert len({node.node for node in seen.nodes} & {node.node for node in before.nodes}) == 1, "the head stays"
        assert {incident.reason for incident in seen.incidents if incident.warning} <= {"OrphanFound"}
        assert len([command for command in lab.processes().values() if "sleep" in command]) <= 4
    finally:
        await lab.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_in_a_request_of_the_autoscaler_makes_it_count_once(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    lab = Lab(settings, health=Healthy())
    await lab.open()
    wanted = dataclasses.replace(plan(workers=0), scaling=Scaling())
    wanted = dataclasses.replace(wanted, workers=(dataclasses.replace(wanted.workers[0], max_replicas=9),))
    await lab.engine.apply(wanted)
    await until(lab.engine, wanted.instance, lambda seen: seen.complete and seen.step is Step.UP, "it is up")
    with monkeypatch.context() as patch:
        crash_at(1, after, patch)
        with pytest.raises(Crash):
            lab.engine._supervisors[wanted.instance].scale_up("r1", "small", 2)
        await lab.engine.close()
    await lab.open()
    try:
        await lab.engine.apply(wanted)
        lab.engine._supervisors[wanted.instance].scale_up("r1", "small", 2)
        seen = await until(
            lab.engine, wanted.instance, lambda seen: seen.complete and len(seen.nodes) == 3, "both came"
        )
        assert seen.wanted == {"small": 2}
    finally:
        await lab.close()


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 5, 20, 40, 60, 80, 120, 200])
async def test_a_killed_server_is_succeeded_by_one_that_converges(settings: LocalSettings, milliseconds: int) -> None:
    lab = Lab(settings, health=Healthy())
    wanted = plan()
    await killed_server(lab, wanted, milliseconds)
    await lab.open()
    try:
        await converged(lab, wanted)
    finally:
        await lab.close()


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 5, 10, 20, 40])
async def test_a_server_killed_while_it_destroys_is_succeeded_by_one_that_finishes(
    settings: LocalSettings, milliseconds: int
) -> None:
    lab = Lab(settings, health=Healthy())
    wanted = plan()
    await lab.open()
    await converged(lab, wanted)
    await lab.engine.close()
    await killed_server(lab, wanted, milliseconds, "destroy")
    await lab.open()
    try:
        await lab.engine.destroy(wanted.instance)
        await until(lab.engine, wanted.instance, lambda seen: not seen.present, "it is gone")
        assert lab.processes() == {}
        assert list((lab.settings.state / "i").iterdir()) == []
        assert list((lab.settings.state / "t").iterdir()) == []
    finally:
        await lab.close()


async def killed_server(lab: Lab, wanted: InstancePlan, milliseconds: int, *arguments: str) -> None:
    """Run a server in a process of its own and SIGKILL it so long after it began."""
    environment = lab.settings.ready_environment(wanted.release)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.engines.local.victim", lab.settings.state, lab.settings.node_runtime,
        environment, wanted.instance, *arguments, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while b"begun" not in await process.stdout.readline():
                assert not process.stdout.at_eof(), "the server ended by itself"
        await asyncio.sleep(milliseconds / 1000)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
