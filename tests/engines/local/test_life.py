"""The life of instances on fake nodes: deaths, back-offs, deadlines, queues."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import stat
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from heliostat.domain.engine import InstancePlan, NodeState, Observation, Step
from heliostat.domain.errors import NotReady
from heliostat.domain.releases import Release
from heliostat.engines.local import LocalSettings
from heliostat_node.processes import read

from ..conformance import names, plan, until
from .kit import FastClock, Healthy, Lab, kill, of_kind

WITHOUT_STORAGE = Release("ray-1.0.1", "2.47.1", "3.11")


def with_head(wanted: InstancePlan, fake: str) -> InstancePlan:
    return dataclasses.replace(wanted, head=dataclasses.replace(wanted.head, env={"FAKE": fake}))


def with_workers(wanted: InstancePlan, fake: str) -> InstancePlan:
    workers = tuple(dataclasses.replace(group, env={"FAKE": fake}) for group in wanted.workers)
    return dataclasses.replace(wanted, workers=workers)


async def up(lab: Lab, wanted: InstancePlan) -> Observation:
    await lab.engine.apply(wanted)
    return await until(lab.engine, wanted.instance, lambda seen: seen.complete and seen.step is Step.UP, "it is up")


async def complete_again(lab: Lab, wanted: InstancePlan, before: Observation) -> Observation:
    """Wait for a repair: complete, with other processes than before."""
    pids = {node.pid for node in before.nodes}
    return await until(
        lab.engine,
        wanted.instance,
        lambda seen: seen.complete and {node.pid for node in seen.nodes} != pids,
        "repaired",
    )


async def failed(lab: Lab, wanted: InstancePlan) -> str:
    seen = await until(
        lab.engine,
        wanted.instance,
        lambda seen: seen.failure is not None and not any(node.pid for node in seen.nodes),
        "it has failed and its processes are gone",
    )
    assert seen.failure is not None
    assert seen.step is Step.FAILED
    assert seen.present
    return seen.failure


def mourned(lab: Lab) -> list[dict[str, str]]:
    """The deaths that were reported to the GCS."""
    return [
        json.loads(line)
        for path in (lab.settings.state / "node-runtime").glob("*/heliostat_node/mourned")
        for line in path.read_text().splitlines()
    ]


def reasons(seen: Observation) -> list[str]:
    return [incident.reason for incident in seen.incidents]


class TestWorkers:
    async def test_a_killed_worker_is_replaced_by_a_new_node(self, lab: Lab) -> None:
        wanted = plan()
        before = await up(lab, wanted)
        victim = of_kind(before, "worker")[0]
        kill(victim)
        after = await complete_again(lab, wanted, before)
        assert victim.node not in names(after)
        assert len(after.nodes) == 3
        assert reasons(after) == ["WorkerLost", "WorkerReplaced"]
        assert after.failure is None

    async def test_what_a_killed_worker_left_is_ended_too(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        before = await up(lab, wanted)
        processes = len(lab.processes())
        kill(of_kind(before, "worker")[0])
        await complete_again(lab, wanted, before)
        assert len(lab.processes()) == processes

    async def test_further_losses_in_a_row_wait_longer(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        wanted = plan(workers=1)
        first = await up(lab, wanted)
        kill(of_kind(first, "worker")[0])
        second = await complete_again(lab, wanted, first)
        kill(of_kind(second, "worker")[0])
        await until(lab.engine, wanted.instance, lambda seen: "2 losses in a row" in seen.trouble, "it waits")
        clock.advance(2)
        assert (await complete_again(lab, wanted, second)).trouble == ""

    async def test_after_a_calm_period_losses_are_forgotten(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        wanted = plan(workers=1)
        seen = await up(lab, wanted)
        for _ in range(4):
            clock.advance(600)
            kill(of_kind(seen, "worker")[0])
            seen = await complete_again(lab, wanted, seen)
        assert reasons(seen).count("WorkerReplaced") == 4

    async def test_a_group_that_keeps_dying_later_is_trouble_not_failure(
        self, fast: tuple[Lab, FastClock], tmp_path: Path
    ) -> None:
        lab, clock = fast
        flag = tmp_path / "die"
        wanted = with_workers(plan(workers=1), str(flag))
        before = await up(lab, wanted)
        flag.touch()
        kill(of_kind(before, "worker")[0])
        for _ in range(5):
            await until(
                lab.engine,
                wanted.instance,
                lambda seen: of_kind(seen, "worker")[0].state is NodeState.PENDING and "in a row" in seen.trouble,
                "the group is in trouble",
            )
            clock.advance(70)
        flag.unlink()
        clock.advance(70)
        after = await complete_again(lab, wanted, before)
        assert after.failure is None
        assert "NodeStartFailed" in reasons(after)
        assert of_kind(after, "head")[0].pid == of_kind(before, "head")[0].pid


class TestHead:
    async def test_a_killed_head_comes_back_with_its_place_and_ports(self, lab: Lab) -> None:
        wanted = plan()
        before = await up(lab, wanted)
        kill(of_kind(before, "head")[0])
        after = await complete_again(lab, wanted, before)
        assert names(after) == names(before)
        assert after.endpoints == before.endpoints
        assert of_kind(after, "head")[0].restarts == 1
        assert [node.pid for node in of_kind(after, "worker")] == [node.pid for node in of_kind(before, "worker")]
        assert reasons(after) == ["HeadLost", "HeadRestarted"]

    async def test_without_embedded_storage_a_dead_head_is_the_end(self, lab: Lab) -> None:
        wanted = dataclasses.replace(plan(), release=WITHOUT_STORAGE)
        kill(of_kind(await up(lab, wanted), "head")[0])
        failure = await failed(lab, wanted)
        assert "The head died" in failure
        assert "2.47.1" in failure
        assert "the fake shim lives" in failure, "the log's tail is missing"
        async with asyncio.timeout(10):
            while len(lab.processes()) > 1:  # all but the zygote
                await asyncio.sleep(0.01)

    async def test_a_head_that_dies_again_and_again_is_given_up(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        wanted = plan(workers=1)
        seen = await up(lab, wanted)
        for _ in range(lab.settings.head_tries):
            kill(of_kind(seen, "head")[0])
            restarts = of_kind(seen, "head")[0].restarts
            await until(
                lab.engine,
                wanted.instance,
                lambda now, before=restarts: of_kind(now, "head")[0].restarts > before,  # type: ignore[misc]
                "the loss is noted",
            )
            clock.advance(10)
            before, seen = seen, await complete_again(lab, wanted, seen)
            assert of_kind(before, "worker")[0].pid == of_kind(seen, "worker")[0].pid
        kill(of_kind(seen, "head")[0])
        assert "given up" in await failed(lab, wanted)

    async def test_a_dashboard_that_does_not_answer_is_trouble(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        assert lab.health is not None
        wanted = plan(workers=0)
        await up(lab, wanted)
        lab.health.wrong = "its dashboard does not answer"
        for _ in range(lab.settings.health_misses):
            asked = lab.health.asked
            clock.advance(6)
            while lab.health.asked == asked:
                await asyncio.sleep(0.01)
        seen = await until(lab.engine, wanted.instance, lambda seen: bool(seen.trouble), "trouble is told")
        assert "does not answer" in seen.trouble
        assert seen.failure is None
        lab.health.wrong = ""
        clock.advance(6)
        await until(lab.engine, wanted.instance, lambda seen: not seen.trouble, "the trouble is over")


class TestStarts:
    @pytest.mark.parametrize("fake", ["die", "vanish"])
    @pytest.mark.parametrize("place", [with_head, with_workers])
    async def test_a_node_that_dies_at_start_repeatedly_is_a_failure(
        self, fast: tuple[Lab, FastClock], fake: str, place: object
    ) -> None:
        lab, clock = fast
        assert callable(place)
        wanted: InstancePlan = place(plan(workers=1), fake)
        await lab.engine.apply(wanted)
        for _ in range(lab.settings.start_tries):
            await asyncio.sleep(0.1)
            clock.advance(5)
        failure = await failed(lab, wanted)
        assert f"{lab.settings.start_tries} times in a row" in failure
        assert ("told to die" in failure) == (fake == "die")

    async def test_a_start_that_takes_too_long_is_a_failure(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        wanted = with_workers(plan(workers=1), "hang")
        await lab.engine.apply(wanted)
        await until(lab.engine, wanted.instance, lambda seen: seen.head_ready, "the head is there")
        clock.advance(lab.settings.start_deadline.total_seconds() + 1)
        failure = await failed(lab, wanted)
        assert "not up within 300 seconds" in failure
        assert "of group small" in failure

    async def test_progress_tells_every_step_with_its_times(self, lab: Lab) -> None:
        seen = await up(lab, plan())
        steps = {entry.step: entry for entry in seen.progress}
        assert {Step.HEAD, Step.WORKERS, Step.UP} <= steps.keys()
        assert all(entry.ended_at is not None and entry.ended_at >= entry.started_at for entry in seen.progress)
        assert steps[Step.WORKERS].detail == "2 of 2 workers are alive"

    async def test_starts_wait_in_a_queue(self, settings: LocalSettings) -> None:
        lab = Lab(dataclasses.replace(settings, concurrent_starts=1), health=Healthy())
        await lab.open()
        try:
            first, second = with_head(plan(workers=0), "slow"), plan(workers=0)
            await lab.engine.apply(first)
            await until(lab.engine, first.instance, lambda seen: seen.step is Step.HEAD, "the first begins")
            await lab.engine.apply(second)
            await until(lab.engine, second.instance, lambda seen: bool(seen.progress), "the second waits")
            seen = await lab.engine.observe(second.instance)
            assert seen.step is Step.QUEUED
            assert all(node.state is NodeState.PENDING for node in seen.nodes)
            await up(lab, first)
            await up(lab, second)
        finally:
            await lab.close()

    async def test_a_queued_instance_can_be_destroyed(self, settings: LocalSettings) -> None:
        lab = Lab(dataclasses.replace(settings, concurrent_starts=1), health=Healthy())
        await lab.open()
        try:
            first, second, third = with_head(plan(workers=0), "hang"), plan(workers=0), plan(workers=0)
            for wanted in (first, second, third):
                await lab.engine.apply(wanted)
                await until(lab.engine, wanted.instance, lambda seen: bool(seen.progress), "it is under way")
            for wanted in (second, first):
                await lab.engine.destroy(wanted.instance)
                await until(lab.engine, wanted.instance, lambda seen: not seen.present, "it is gone")
            await up(lab, third)
        finally:
            await lab.close()


class TestZygotes:
    async def test_without_a_zygote_nodes_start_by_themselves(self, lab: Lab, tmp_path: Path) -> None:
        (tmp_path / "fake-env" / "no-zygote").touch()
        seen = await up(lab, plan(workers=1))
        assert len(seen.nodes) == 2

    async def test_nodes_without_a_zygote_outlive_the_engine(self, lab: Lab, tmp_path: Path) -> None:
        (tmp_path / "fake-env" / "no-zygote").touch()
        wanted = plan(workers=1)
        before = await up(lab, wanted)
        await lab.reopen()
        after = await up(lab, wanted)
        assert [node.pid for node in after.nodes] == [node.pid for node in before.nodes]

    async def test_a_killed_zygote_harms_nobody_and_is_started_again(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        before = await up(lab, wanted)
        for pid in zygotes(lab, before):
            os.kill(pid, 9)
        await lab.engine.apply(plan(wanted.instance, workers=2, generation=2))
        after = await until(lab.engine, wanted.instance, lambda seen: len(seen.nodes) == 3 and seen.complete, "scaled")
        assert names(before) < names(after)
        assert len(zygotes(lab, after)) == 1

    async def test_an_idle_zygote_is_ended(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        seen = await up(lab, plan(workers=0))
        assert len(zygotes(lab, seen)) == 1
        for _ in range(3):
            await asyncio.sleep(0.02)
            clock.advance(lab.settings.zygote_idle.total_seconds())
        async with asyncio.timeout(10):
            while zygotes(lab, seen):
                await asyncio.sleep(0.02)


def zygotes(lab: Lab, seen: Observation) -> list[int]:
    """Children of ours; what a zygote has just forked looks the same until its exec."""
    shims = {node.pid for node in seen.nodes}
    ours = [pid for pid, command in lab.processes().items() if "bootstrap.py zygote" in command and pid not in shims]
    return [pid for pid in ours if (process := read(pid)) is not None and process.parent == os.getpid()]


class TestFiles:
    async def test_files_are_private_and_the_token_is_in_one_place(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        await up(lab, wanted)
        token = wanted.ray_token.reveal() if wanted.ray_token is not None else ""
        state = lab.settings.state
        holders = [path for path in state.rglob("*") if path.is_file() and token in path.read_text(errors="replace")]
        assert holders == [state / "i" / wanted.instance / "token"]
        assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600
        for folder in (state, state / "i" / wanted.instance):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in ("plan.json", "record.json"):
            assert stat.S_IMODE((state / "i" / wanted.instance / name).stat().st_mode) == 0o600

    async def test_nothing_is_left_after_a_destroy(self, lab: Lab) -> None:
        wanted = plan()
        before = {path for path in lab.settings.state.rglob("*") if "node-runtime" not in path.parts}
        await up(lab, wanted)
        await lab.engine.destroy(wanted.instance)
        await until(lab.engine, wanted.instance, lambda seen: not seen.present, "it is gone")
        after = {path for path in lab.settings.state.rglob("*") if "node-runtime" not in path.parts}
        assert {path for path in after - before if path.suffix != ".log"} == set()

    async def test_logs_of_only_a_few_dead_nodes_are_kept(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        wanted = plan(workers=1)
        seen = await up(lab, wanted)
        for _ in range(5):
            clock.advance(600)
            kill(of_kind(seen, "worker")[0])
            seen = await complete_again(lab, wanted, seen)
        folders = list((lab.settings.state / "i" / wanted.instance / "nodes").iterdir())
        assert len(folders) == 2 + lab.settings.keep_dead_nodes

    async def test_the_death_of_a_worker_whose_shim_was_killed_is_reported_to_ray(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        seen = await up(lab, wanted)
        victim = of_kind(seen, "worker")[0]
        kill(victim)
        await complete_again(lab, wanted, seen)
        async with asyncio.timeout(10):
            while not (reports := mourned(lab)):
                await asyncio.sleep(0.01)
        record = json.loads((lab.settings.state / "i" / wanted.instance / "record.json").read_text())
        head = next(node for node in record["nodes"] if node["kind"] == "head")
        assert len(reports) == 1
        assert reports[0]["ray_node_id"] == victim.ray_node_id
        assert reports[0]["gcs_address"] == f"127.0.0.1:{head['ports']['gcs_port']}"
        assert "killed" in reports[0]["reason"]

    async def test_the_death_of_a_worker_that_ray_never_knew_is_not_reported(self, lab: Lab) -> None:
        wanted = with_workers(plan(workers=1), "hang")

        async def started(other_than: str = "") -> str:
            seen = await until(
                lab.engine,
                wanted.instance,
                lambda seen: any(node.pid and node.node != other_than for node in of_kind(seen, "worker")),
                "a worker has a process",
            )
            kill(of_kind(seen, "worker")[0])
            return of_kind(seen, "worker")[0].node

        await lab.engine.apply(wanted)
        await started(other_than=await started())
        assert mourned(lab) == []

    async def test_two_servers_cannot_use_one_folder(self, lab: Lab) -> None:
        other = Lab(lab.settings, health=Healthy())
        with pytest.raises(NotReady, match=f"process {os.getpid()}"):
            await other.open()

    async def test_an_instance_whose_files_are_damaged_is_told_and_can_be_removed(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        await up(lab, wanted)
        await lab.engine.close()
        (lab.settings.state / "i" / wanted.instance / "record.json").write_text("{")
        await lab.open()
        seen = await lab.engine.observe(wanted.instance)
        assert seen.present
        assert seen.failure is not None
        await lab.engine.apply(wanted)
        await lab.engine.destroy(wanted.instance)
        await until(lab.engine, wanted.instance, lambda seen: not seen.present, "it is gone")
        assert [text for text in lab.processes().values() if "zygote" not in text] == []


class TestAdoption:
    async def test_nodes_that_died_meanwhile_are_seen_before_they_are_replaced(self, lab: Lab) -> None:
        wanted = plan()
        before = await up(lab, wanted)
        victim = of_kind(before, "worker")[0]
        await lab.engine.close()
        kill(victim)
        await lab.open()
        seen = await lab.engine.observe(wanted.instance)
        states = {node.node: node.state for node in seen.nodes}
        assert states[victim.node] is NodeState.EXITED
        assert list(states.values()).count(NodeState.ALIVE) == 2
        assert not seen.complete
        assert "OrphanFound" in reasons(seen)
        await lab.engine.apply(wanted)
        after = await complete_again(lab, wanted, seen)
        assert victim.node not in names(after)

    async def test_nothing_is_repaired_before_the_plan_is_applied(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        before = await up(lab, wanted)
        await lab.engine.close()
        kill(of_kind(before, "worker")[0])
        await lab.open()
        await asyncio.sleep(0.3)
        assert names(await lab.engine.observe(wanted.instance)) == names(before)

    async def test_after_a_boot_of_the_machine_no_old_process_is_believed(
        self, monkeypatch: pytest.MonkeyPatch, lab: Lab
    ) -> None:
        wanted = plan(workers=1)
        before = await up(lab, wanted)
        await lab.engine.close()
        for node in before.nodes:
            kill(node)
        monkeypatch.setattr("heliostat.engines.local.nodes.boot_id", lambda: "another")
        monkeypatch.setattr("heliostat.engines.local.beginnings.boot_id", lambda: "another")
        monkeypatch.setattr("heliostat.engines.local.demolition.boot_id", lambda: "another")
        await lab.open()
        seen = await lab.engine.observe(wanted.instance)
        assert [node.state for node in seen.nodes] == [NodeState.EXITED] * 2
        after = await up(lab, wanted)
        assert of_kind(after, "head")[0].restarts == 1

    async def test_a_start_has_its_whole_time_again_under_a_new_server(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        wanted = with_workers(plan(workers=1), "hang")
        await lab.engine.apply(wanted)
        await until(lab.engine, wanted.instance, lambda seen: seen.head_ready, "the head is there")
        await lab.engine.close()
        clock.advance(lab.settings.start_deadline.total_seconds() + 1)
        await lab.open()
        await lab.engine.apply(wanted)
        await asyncio.sleep(0.3)
        assert (await lab.engine.observe(wanted.instance)).failure is None
        clock.advance(lab.settings.start_deadline.total_seconds() + 1)
        assert "not up within" in await failed(lab, wanted)

    async def test_a_failed_instance_stays_failed(self, lab: Lab) -> None:
        wanted = dataclasses.replace(plan(workers=1), release=WITHOUT_STORAGE)
        kill(of_kind(await up(lab, wanted), "head")[0])
        failure = await failed(lab, wanted)
        await lab.reopen()
        await lab.engine.apply(wanted)
        assert await failed(lab, wanted) == failure


class TestEnvironments:
    async def test_an_environment_that_cannot_be_built_fails_the_start_with_the_remedy(
        self, settings: LocalSettings
    ) -> None:
        lab = Lab(dataclasses.replace(settings, ready_environment=lambda release: None), health=Healthy())
        await lab.open()
        try:
            wanted = dataclasses.replace(plan(), release=Release("ray-8.0.0", "2.60.0", "3.99"))
            await lab.engine.apply(wanted)
            failure = await failed(lab, wanted)
            assert "Python 3.99" in failure
            assert "install" in failure
        finally:
            await lab.close()

    async def test_groups_run_in_the_environments_of_their_releases(
        self, settings: LocalSettings, tmp_path: Path
    ) -> None:
        asked: list[str] = []
        ready: Mapping[str, Path | None] = {"": settings.ready_environment(WITHOUT_STORAGE)}

        def environment(release: Release) -> Path | None:
            asked.append(release.name)
            return ready[""]

        lab = Lab(dataclasses.replace(settings, ready_environment=environment), health=Healthy())
        await lab.open()
        try:
            wanted = plan(workers=1)
            other = Release("ray-9.9.9", wanted.release.ray, wanted.release.python, packages=("more",))
            worker = dataclasses.replace(wanted.workers[0], release=other)
            await up(lab, dataclasses.replace(wanted, workers=(worker,)))
            assert {wanted.release.name, other.name} <= set(asked)
        finally:
            await lab.close()


def test_settings_have_sane_defaults(tmp_path: Path) -> None:
    settings = LocalSettings(tmp_path)
    assert settings.concurrent_starts >= 1
    assert settings.head_return < timedelta(seconds=300)
