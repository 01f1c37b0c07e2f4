"""Which cluster an entry of the warm pool can be given to, and as what; all of it pure."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat.domain.engine import GpuType, GroupPlan, InstancePlan, Scaling, Step, Volume
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import BUILT_IN
from heliostat.domain.secret import Secret
from heliostat.engines.local import warm
from heliostat.engines.local.layout import Layout
from heliostat.engines.local.limits import Machine
from heliostat.engines.local.records import InstanceRecord, NodeRecord

from ..conformance import GIB, plan

ENTRY = InstanceId("p-0123456789")
FORM = warm.Shape(workers=2, group="small", store_bytes=GIB)
TOKEN = Secret("its own")
NOW = 1000.0
ROOM = 100 * GIB


def entry(wanted: InstancePlan) -> tuple[InstancePlan, InstanceRecord]:
    """An entry of the release of a plan, all of it up."""
    nodes = [
        NodeRecord(
            f"{ENTRY}-{temp}", "head" if temp == "h" else "worker", "head" if temp == "h" else FORM.group, temp, 10.0,
            launched_at=11.0, boot="b", pid=7, start_ticks=8, alive_at=12.0, object_store_bytes=FORM.store_bytes,
        )
        for temp in ("h", "w1", "w2")
    ]  # fmt: skip
    record = InstanceRecord(ENTRY, 10.0, tuple(nodes), next_worker=3, started_at=11.0, up_at=12.0)
    return warm.entry_plan(ENTRY, warm.Line.of(wanted), FORM, TOKEN), record


def changed(where: str, **changes: Any) -> InstancePlan:
    """The plan of the conformance suite with something else in the plan, its head or its group."""
    wanted = plan()
    if where == "plan":
        return dataclasses.replace(wanted, **changes)
    if where == "head":
        return dataclasses.replace(wanted, head=dataclasses.replace(wanted.head, **changes))
    return dataclasses.replace(wanted, workers=(dataclasses.replace(wanted.workers[0], **changes),))


FOR_GROUPS = {
    "variables": {"env": {"A": "b"}},
    "a GPU": {"gpu": GpuType("t4", "T4", 1)},
    "GPUs as an option": {"ray_params": {"num_gpus": 1}},
    "units": {"ray_params": {"resources": {"TPU": 1}}},
    "labels": {"ray_params": {"labels": {"a": "b"}}},
    "another option": {"ray_params": {"plasma_directory": "/tmp"}},
    "a store of its own": {"ray_params": {"object_store_memory": 2 * GIB}},
    "too much memory": {"memory_bytes": 4 * GIB},
    "another release": {"release": BUILT_IN[0]},
}


@pytest.mark.parametrize("why", FOR_GROUPS)
def test_a_head_that_needs_what_a_live_node_cannot_be_given_is_started_cold(why: str) -> None:
    wanted = changed("head", **FOR_GROUPS[why])
    assert not warm.fits(wanted, *entry(wanted), ROOM)


@pytest.mark.parametrize("why", [*FOR_GROUPS, "another name"])
def test_a_group_that_needs_it_is_started_cold_beside_a_warm_head(why: str) -> None:
    wanted = changed("group", **FOR_GROUPS.get(why, {"name": "other"}))
    known, record = entry(wanted)
    assert warm.fits(wanted, known, record, ROOM)
    _, mine = warm.given(wanted, record, TOKEN, NOW)
    assert [node.kind for node in mine.nodes] == ["head"]
    assert [node.temp for node in mine.surplus] == ["w1", "w2"]
    assert not mine.started_at, "the clock of the start runs from its turn in the queue"


@pytest.mark.parametrize(
    "changes",
    [{"release": BUILT_IN[0]}, {"volumes": (Volume("vol-a", "/a"),)}, {"scaling": Scaling()}, {"metrics": False}],
)
def test_what_concerns_every_node_keeps_an_entry_from_being_given(changes: dict[str, Any]) -> None:
    wanted = changed("plan", **changes)
    assert not warm.fits(wanted, *entry(plan()), ROOM)


@pytest.mark.parametrize(
    "changes",
    [{"ray_params": {"num_cpus": 0, "resources": {"disk": 3}}}, {"ray_params": {"num_gpus": 0}}, {"cpus": 7.5}],
)
def test_cpus_memory_and_custom_resources_are_given(changes: dict[str, Any]) -> None:
    wanted = changed("head", **changes)
    assert warm.fits(wanted, *entry(wanted), ROOM)


def test_a_head_that_its_queue_has_no_room_for_is_given_nothing() -> None:
    wanted = changed("head", granted=0)
    assert not warm.fits(wanted, *entry(wanted), ROOM)


def test_what_a_node_is_given_is_what_a_cold_one_is_born_with() -> None:
    group = GroupPlan("g", 1, 1.5, 3 * GIB, ray_params={"resources": {"disk": 3}})
    assert warm.amounts(group) == {"CPU": 2.0, "memory": 3.0 * GIB, "disk": 3.0}
    assert warm.amounts(dataclasses.replace(group, ray_params={"num_cpus": 0}))["CPU"] == 0.0


def test_an_instance_is_given_the_nodes_as_if_they_were_begun_now_with_the_entrys_token() -> None:
    wanted = plan()
    _, record = entry(wanted)
    mine, begun = warm.given(wanted, record, TOKEN, NOW)
    assert mine == dataclasses.replace(wanted, ray_token=TOKEN)
    assert begun.instance == wanted.instance and begun.created_at == NOW and begun.started_at == NOW
    assert not begun.up_at, "it is up when its nodes have been given their resources"
    assert [(node.kind, node.group) for node in begun.nodes] == [
        ("head", "head"),
        ("worker", "small"),
        ("worker", "small"),
    ]
    for node, old in zip(begun.nodes, record.nodes, strict=True):
        assert node.sizing and node.created_at == NOW and not node.alive_at
        assert (node.node, node.temp, node.pid, node.start_ticks, node.ports) == (
            old.node, old.temp, old.pid, old.start_ticks, old.ports,
        )  # fmt: skip
    assert begun.next_worker == 3, "names of temp dirs are not used twice"
    assert [entry.step for entry in begun.progress] == [Step.HEAD, Step.WORKERS]


def test_two_groups_share_no_node_and_a_queue_that_made_room_for_less_gets_less() -> None:
    wanted = plan(workers=3)
    _, begun = warm.given(changed("group", replicas=3), entry(wanted)[1], TOKEN, NOW)
    assert len(begun.nodes) == 3 and not begun.surplus and not begun.started_at
    _, begun = warm.given(changed("group", granted=1), entry(wanted)[1], TOKEN, NOW)
    assert len(begun.nodes) == 2 and len(begun.surplus) == 1


def test_stores_count_when_they_are_given_and_then_all_of_them_must_fit() -> None:
    wanted = plan()
    assert warm.fits(wanted, *entry(wanted), 3 * GIB)
    assert not warm.fits(wanted, *entry(wanted), 3 * GIB - 1)
    assert warm.fits(plan(workers=0), *entry(wanted), GIB)


def test_with_autoscaling_only_workers_that_it_must_keep_are_taken() -> None:
    wanted = dataclasses.replace(changed("group", min_replicas=1), scaling=Scaling())
    known, record = entry(wanted)
    assert known.scaling is not None and [(g.min_replicas, g.max_replicas) for g in known.workers] == [(2, 2)]
    assert warm.fits(wanted, known, record, ROOM)
    _, begun = warm.given(wanted, record, TOKEN, NOW)
    assert [node.temp for node in begun.nodes] == ["h", "w1"] and [node.temp for node in begun.surplus] == ["w2"]


def test_the_store_is_that_of_the_largest_node_that_is_served_as_far_as_the_machine_has_it() -> None:
    assert warm.shape(2, "g", 2 * GIB, Machine(2, 64 * GIB, 64 * GIB)).store_bytes == int(2 * GIB * 0.3)
    machine = Machine(2, 8 * GIB, 8 * GIB)
    assert 3 * warm.shape(2, "g", 100 * GIB, machine).store_bytes <= machine.store_bytes


class TestFolders:
    @pytest.fixture
    def short(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="hs-test-", dir="/tmp") as folder:
            yield Path(folder)

    @pytest.fixture
    def layout(self, tmp_path: Path, short: Path) -> Layout:
        layout = Layout(tmp_path / "s", short)
        layout.make()
        layout.pool().create(ENTRY, {"token": "t"})
        return layout

    def test_an_entry_is_free_until_an_instances_folder_is_there(self, layout: Layout) -> None:
        assert layout.entries() == [ENTRY]
        instance = plan().instance
        layout.claim(instance, ENTRY, {"plan.json": "{}"})
        assert layout.entries() == [] and layout.instances() == [instance] and layout.entry(instance) == ENTRY
        assert layout.real_temps(instance) == layout.pool().real_temps(ENTRY)
        assert (layout.instance(instance) / "nodes").resolve() == layout.pool().instance(ENTRY) / "nodes"

    def test_a_folder_that_was_not_finished_gives_nothing(
        self, layout: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        def crash(self: Path, target: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", crash)
            with pytest.raises(KeyboardInterrupt):
                layout.claim(plan().instance, ENTRY, {"plan.json": "{}"})
        assert layout.entries() == [ENTRY] and layout.instances() == []
        layout.sweep()
        assert layout.entries() == [ENTRY] and layout.pool().real_temps(ENTRY).exists()
        assert list((layout.state / "i").iterdir()) == []

    def test_removing_the_instance_removes_the_entry(self, layout: Layout, short: Path) -> None:
        instance = plan().instance
        layout.claim(instance, ENTRY, {"plan.json": "{}"})
        layout.sweep()
        assert layout.real_temps(instance).exists()
        layout.remove(instance)
        left = [path for name in "iwt" for path in (layout.state / name).iterdir()]
        assert left == [] and list(short.iterdir()) == []

    def test_a_moved_state_folder_keeps_its_claims(self, layout: Layout, tmp_path: Path, short: Path) -> None:
        instance = plan().instance
        layout.claim(instance, ENTRY, {})
        layout.state.rename(tmp_path / "moved")
        moved = Layout(tmp_path / "moved", short)
        assert moved.entry(instance) == ENTRY and (moved.instance(instance) / "nodes").is_dir()
