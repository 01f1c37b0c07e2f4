"""The warm pool on fake nodes: what is kept ready, given away, replaced, left alone and cleared away."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat.domain.engine import InstancePlan, NodeState, Observation, Scaling, Step
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import BUILT_IN, Catalogue
from heliostat.engines.local import LocalSettings, pool, supervisor
from heliostat.engines.local.autoscaling.config import read_secret
from heliostat.engines.local.layout import Layout
from heliostat.engines.local.records import InstanceRecord
from heliostat.engines.local.zygotes import Zygotes

from ..conformance import GIB, EngineConformance, Harness, plan, until
from .kit import Healthy, Lab, kill, of_kind

RELEASE = Catalogue().default_release


class Crash(BaseException):
    """The server is gone. No Exception, so that nothing handles it."""


class WarmLab(Lab):
    """A lab that is left with no pool at its end."""

    async def ready(self, count: int = 1) -> None:
        """Until so many clusters are kept ready."""
        words = f"{count} of {self.settings.warm[RELEASE.name]} clusters are kept ready"
        await self.words(words)

    async def words(self, words: str, seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while words not in self.engine.preparation(RELEASE)[1]:
                await asyncio.sleep(0.01)

    @property
    def entries(self) -> list[InstanceId]:
        """Those that belong to nobody, by the disk alone."""
        return Layout(self.settings.state).entries()

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What Ray was asked to resize: amounts by Ray node id, step after step."""
        file = next(self.settings.state.glob("node-runtime/*/heliostat_node/resized"), None)
        rows = file.read_text().splitlines() if file is not None else []
        return [step for row in rows for step in json.loads(row)["steps"]]

    def refuse(self, why: str) -> None:
        """Have Ray refuse to resize from now on."""
        runtime = next(self.settings.state.glob("node-runtime/*/heliostat_node"))
        (runtime / "no-resize").write_text(why)

    async def close(self) -> None:
        await self.engine.close()
        await self.open(warm={}, warm_scaled={})
        async with asyncio.timeout(15):
            while {path.name for path in (self.settings.state / "w").iterdir()} != set(self.given):
                await asyncio.sleep(0.02)
        await super().close()

    @property
    def given(self) -> list[str]:
        layout = Layout(self.settings.state)
        return [entry for instance in layout.instances() if (entry := layout.entry(instance)) is not None]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.1)


@pytest.fixture
async def lab(settings: LocalSettings) -> AsyncIterator[WarmLab]:
    lab = WarmLab(dataclasses.replace(settings, warm={RELEASE.name: 1}, warm_group="small"), health=Healthy())
    await lab.open()
    await lab.ready()
    yield lab
    await lab.close()


async def up(lab: Lab, wanted: InstancePlan) -> Observation:
    await lab.engine.apply(wanted)
    return await until(lab.engine, wanted.instance, lambda seen: seen.complete and seen.step is Step.UP, "it is up")


async def eventually(reached: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(15):
        while not reached():
            await asyncio.sleep(0.01)


class TestConformance(EngineConformance):
    """An instance from the pool behaves as every other; see below for what its folders and its beginning can change."""

    @pytest.fixture
    async def harness(self, lab: WarmLab) -> Harness:
        return lab


KEPT = {
    "test_repeating_a_plan_changes_nothing",
    "test_a_destroyed_instance_becomes_absent",
    "test_instances_do_not_touch_each_other",
    "test_a_newer_plan_adds_and_removes_workers_in_place",
    "test_a_new_engine_finds_what_an_old_one_started",
    "test_a_start_goes_on_under_a_new_engine",
    "test_every_node_has_log_files",
    "test_the_log_files_of_a_node_outlive_it",
    "test_without_a_grant_for_its_head_nothing_starts",
}
for name in set(dir(EngineConformance)) - KEPT:
    if name.startswith("test_"):
        setattr(TestConformance, name, None)


async def test_a_start_takes_the_entry_gives_it_resources_and_reports_its_token(lab: WarmLab) -> None:
    entry, wanted = lab.entries[0], plan()
    processes = set(lab.processes())
    seen = await up(lab, wanted)
    assert {node.node for node in seen.nodes} == {f"{entry}-head", f"{entry}-w1", f"{entry}-w2"}
    assert {node.pid for node in seen.nodes} <= processes
    assert seen.ray_token is not None and seen.ray_token != wanted.ray_token
    assert seen.ray_token.reveal() == (lab.settings.state / "w" / entry / "token").read_text()
    assert [step.step for step in seen.progress] == [Step.HEAD, Step.WORKERS, Step.UP]
    assert seen.incidents == () and seen.trouble == ""
    amounts = list(lab.asked[-1].values())
    assert amounts == [{"CPU": 1.0, "memory": float(GIB)}]  # the fakes share one Ray node id
    assert entry not in lab.entries
    await lab.ready()
    assert lab.entries and entry not in lab.entries, "another one has taken its place"
    assert await lab.engine.discover() == [wanted.instance], "what is kept ready is no instance"


async def test_workers_too_many_end_and_those_too_few_are_started_beside(lab: WarmLab) -> None:
    few = await up(lab, plan(workers=0))
    assert [node.kind for node in few.nodes] == ["head"]
    head = few.nodes[0].pid
    await eventually(lambda: len([pid for pid in lab.processes() if pid == head]) == 1, "the head lives")
    await lab.ready()
    many = plan(workers=4)
    seen = await up(lab, many)
    names = sorted(node.node for node in of_kind(seen, "worker"))
    assert len(names) == 4 and sum(name.startswith("p-") for name in names) == 2
    assert f"{many.instance}-w3" in names and f"{many.instance}-w4" in names


async def test_two_starts_at_once_get_one_entry_and_none(lab: WarmLab) -> None:
    first, second = plan(), plan()
    await asyncio.gather(lab.engine.apply(first), lab.engine.apply(second))
    nodes = [await up(lab, wanted) for wanted in (first, second)]
    warm = [all(node.node.startswith("p-") for node in seen.nodes) for seen in nodes]
    assert sorted(warm) == [False, True]
    assert nodes[1].ray_token is None or nodes[0].ray_token is None


async def test_an_entry_that_is_taken_while_another_is_looked_at_is_left_alone(
    lab: WarmLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool would wait for ever for the removal of what it does not look after any more."""
    kept = lab.engine._pool
    assert kept is not None
    (name,) = lab.entries
    entry, taken, looked = kept._entries[name], [], kept._look

    async def look(which: InstanceId, seen: Any) -> None:
        if which == "p-other":
            taken.append(await kept.take(name))
        else:
            assert which != name or kept._entries.get(name) is entry
            await looked(which, seen)

    monkeypatch.setattr(kept, "_look", look)
    kept._task.cancel()  # type: ignore[union-attr]  # open
    monkeypatch.setattr(kept, "_entries", {InstanceId("p-other"): entry, name: entry})
    monkeypatch.setattr(kept, "_trim", lambda: None)
    monkeypatch.setattr(kept, "_refill", lambda: 1.0)
    await kept._round()
    assert taken[0] is not None
    kept.give_back(taken[0])
    kept._entries.pop(InstanceId("p-other"))


async def test_what_does_not_fit_is_started_cold_and_leaves_the_entry(lab: WarmLab) -> None:
    entry, wanted = lab.entries, plan()
    wanted = dataclasses.replace(wanted, head=dataclasses.replace(wanted.head, env={"A": "b"}))
    seen = await up(lab, wanted)
    assert all(node.node.startswith(wanted.instance) for node in seen.nodes) and seen.ray_token is None
    assert lab.entries == entry


async def test_with_autoscaling_the_head_is_told_whose_it_is(settings: LocalSettings) -> None:
    sizes = {RELEASE.name: 1}
    lab = WarmLab(dataclasses.replace(settings, warm_scaled=sizes, warm_group="small"), health=Healthy())
    await lab.open()
    await lab.words("1 of 1 clusters with autoscaling are kept ready")
    (entry,), wanted = lab.entries, plan(workers=1)
    layout, home = Layout(settings.state), settings.state / "w" / entry
    secret = (home / "autoscaling-secret").read_text()
    assert read_secret(layout, entry) == secret, "its autoscaler may ask already"
    assert json.loads((home / "autoscaling.json").read_text())["provider"]["instance"] == entry
    assert (await up(lab, plan())).ray_token is None, "a cluster without autoscaling is none of its kind"
    group = dataclasses.replace(wanted.workers[0], min_replicas=1, max_replicas=5)
    seen = await up(lab, dataclasses.replace(wanted, workers=(group,), scaling=Scaling(idle_seconds=30)))
    assert {node.node for node in seen.nodes} == {f"{entry}-head", f"{entry}-w1"}
    told = json.loads((home / "autoscaling.json").read_text())
    assert told["provider"]["instance"] == wanted.instance and told["max_workers"] == 5
    assert told["available_node_types"]["small"]["resources"]["CPU"] == 1
    assert Path(told["provider"]["secret_file"]).read_text() == read_secret(layout, wanted.instance) == secret
    await lab.close()


async def test_a_stop_leaves_nothing_of_the_entry(lab: WarmLab) -> None:
    entry, wanted = lab.entries[0], plan(workers=1)
    seen = await up(lab, wanted)
    pids = {node.pid for node in seen.nodes}
    await lab.engine.destroy(wanted.instance)
    await until(lab.engine, wanted.instance, lambda seen: not seen.present, "it is gone")
    assert not pids & set(lab.processes())
    assert not (lab.settings.state / "w" / entry).exists()


async def test_where_the_resources_cannot_be_set_the_start_goes_on_cold(lab: WarmLab) -> None:
    lab.refuse("Ray has changed its mind")
    wanted = plan()
    seen = await up(lab, wanted)
    assert {node.node for node in seen.nodes} == {
        f"{wanted.instance}-head", f"{wanted.instance}-w3", f"{wanted.instance}-w4",
    }  # fmt: skip
    assert [(incident.reason, incident.warning) for incident in seen.incidents] == [("WarmStartFailed", True)]
    assert "Ray has changed its mind" in seen.incidents[0].message
    assert seen.failure is None
    assert len([line for line in lab.processes().values() if "p-" in line and "spec" in line]) == 0


async def test_a_release_whose_nodes_cannot_be_resized_has_no_pool_and_says_so(settings: LocalSettings) -> None:
    lab = WarmLab(dataclasses.replace(settings, warm={RELEASE.name: 1}, warm_group="small"), health=Healthy())
    await lab.open()
    lab.refuse("no such request")
    await lab.words("no warm starts: Ray does not change the resources of live nodes: no such request")
    await eventually(lambda: lab.entries == [], "its entry is removed")
    assert (await up(lab, plan())).ray_token is None
    await lab.close()


async def test_one_answer_that_came_too_late_does_not_end_the_pool(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, late = Zygotes.resize, ["Ray did not answer within 30 seconds"]

    async def resize(self: Zygotes, *arguments: Any) -> str:
        return late.pop() if late else await real(self, *arguments)

    monkeypatch.setattr(Zygotes, "resize", resize)
    lab = WarmLab(dataclasses.replace(settings, warm={RELEASE.name: 1}, warm_group="small"), health=Healthy())
    await lab.open()
    await lab.ready()
    await lab.close()


async def test_an_old_release_is_not_even_tried(settings: LocalSettings) -> None:
    old = next(release for release in BUILT_IN if release.ray == "2.47.1")
    lab = WarmLab(dataclasses.replace(settings, warm={old.name: 1}), health=Healthy())
    await lab.open()
    assert "no warm starts: Ray 2.47.1 cannot change" in lab.engine.preparation(old)[1]
    await asyncio.sleep(0.2)
    assert lab.entries == []
    await lab.close()


@pytest.mark.parametrize("kind", ["head", "worker"])
async def test_an_entry_that_loses_a_node_is_replaced(lab: WarmLab, kind: str) -> None:
    (entry,) = lab.entries
    for file in (lab.settings.state / "w" / entry / "nodes").glob(
        f"*-{'head' if kind == 'head' else 'w1'}.0/status.json"
    ):
        os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)
    await eventually(lambda: bool(lab.entries) and entry not in lab.entries, "it is another one")
    await lab.ready()


async def test_entries_outlive_the_server_and_are_given_away_by_the_next(lab: WarmLab) -> None:
    (entry,) = lab.entries
    before = lab.processes()
    await lab.reopen()
    await lab.ready()
    assert lab.entries == [entry]
    assert {pid for pid in before if "sleep" in before[pid]} <= set(lab.processes())
    seen = await up(lab, plan())
    assert all(node.node.startswith(entry) for node in seen.nodes)


async def test_a_server_with_a_smaller_pool_or_none_removes_what_is_too_many(lab: WarmLab) -> None:
    await lab.engine.close()
    await lab.open(warm={RELEASE.name: 2})
    await lab.ready(2)
    await lab.engine.close()
    await lab.open(warm={RELEASE.name: 1})
    await eventually(lambda: len(lab.entries) == 1, "one is left")
    await lab.engine.close()
    await lab.open(warm={})
    await eventually(lambda: lab.entries == [], "none is left")
    await eventually(lambda: not [line for line in lab.processes().values() if "sleep" in line], "no process is left")


async def test_an_entry_that_cannot_be_read_is_removed(lab: WarmLab) -> None:
    (entry,) = lab.entries
    await lab.engine.close()
    (lab.settings.state / "w" / entry / "record.json").write_text("{")
    await lab.open()
    await lab.ready()
    assert entry not in lab.entries


async def test_an_instance_that_was_given_an_entry_is_adopted_with_it(lab: WarmLab) -> None:
    wanted = plan()
    before = await up(lab, wanted)
    await lab.reopen()
    seen = await up(lab, wanted)
    assert [node.pid for node in seen.nodes] == [node.pid for node in before.nodes]
    assert seen.ray_token == before.ray_token
    kill(of_kind(seen, "worker")[0])
    seen = await until(
        lab.engine, wanted.instance,
        lambda seen: seen.complete and any(incident.reason == "WorkerReplaced" for incident in seen.incidents), "replaced",
    )  # fmt: skip
    assert {node.state for node in seen.nodes} == {NodeState.ALIVE}


# --- crashes ----------------------------------------------------------------------------------------------------------


def crash_in_claim(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    real = Layout.claim

    def claim(self: Layout, *arguments: Any) -> Path:
        if point == "before":
            raise Crash
        if point == "within":
            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", lambda path, target: (_ for _ in ()).throw(Crash()))
                return real(self, *arguments)
        real(self, *arguments)
        raise Crash

    monkeypatch.setattr(Layout, "claim", claim)


def crash_at_save(monkeypatch: pytest.MonkeyPatch, number: int, after: bool) -> None:
    real, count = supervisor.write_record, 0

    def write(folder: Path, record: InstanceRecord) -> None:
        nonlocal count
        if record.instance.startswith("p-"):
            real(folder, record)
            return
        count += 1
        if count < number or (count == number and after):
            real(folder, record)
        if count >= number:
            raise Crash

    monkeypatch.setattr(supervisor, "write_record", write)


def owners(lab: WarmLab) -> dict[str, int]:
    """How many have each entry there is: the pool or an instance."""
    layout = Layout(lab.settings.state)
    have = [*layout.entries(), *(layout.entry(instance) for instance in layout.instances())]
    there = [path.name for path in (lab.settings.state / "w").iterdir() if not path.name.startswith(".")]
    return {name: have.count(InstanceId(name)) for name in there}


POINTS = ["before", "within", "after", *((number, after) for number in (1, 2) for after in (False, True))]


@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_after_a_crash_an_entry_is_the_pools_or_the_instances(
    lab: WarmLab, monkeypatch: pytest.MonkeyPatch, point: str | tuple[int, bool]
) -> None:
    (entry,), wanted = lab.entries, plan(workers=1)
    with monkeypatch.context() as patch:
        if isinstance(point, str):
            crash_in_claim(patch, point)
        else:
            crash_at_save(patch, *point)
        try:
            await lab.engine.apply(wanted)
            async with asyncio.timeout(1):
                while (await lab.engine.observe(wanted.instance)).step is not Step.UP:
                    await asyncio.sleep(0.01)
        except (Crash, TimeoutError):
            pass
        await lab.engine.close()
    assert set(owners(lab).values()) == {1}
    assert (lab.entries == [entry]) == (point in ("before", "within"))
    await lab.open()
    await lab.words("clusters are kept ready")
    if entry in lab.entries:
        await lab.ready()
    seen = await up(lab, wanted)
    assert all(node.node.startswith(entry) for node in seen.nodes), "what was given away stays so, and the rest is used"
    assert len(seen.nodes) == 2 and seen.incidents == ()
    assert set(owners(lab).values()) == {1}
    await lab.ready()
    await eventually(
        lambda: sum("sleep" in line for line in lab.processes().values()) == 2 * (2 + 3),
        "two nodes of the instance and three of the new entry run, no other",
    )
