"""The file that Ray's autoscaler reads."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import pytest

from heliostat.domain.engine import GpuType, GroupPlan, InstancePlan, Scaling, Upscaling
from heliostat.engines.local.autoscaling.config import autoscaling_config, greatest, offered, read_secret, write_config
from heliostat.engines.local.layout import AUTOSCALING_FILE, AUTOSCALING_SECRET_FILE, Layout
from heliostat_node.options import parse_ray_start_params

from ...conformance import GIB, plan

SMALL = GroupPlan("small", 1, 1.5, GIB, max_replicas=4, min_replicas=1, idle_seconds=7.0)


def scaling_plan(*groups: GroupPlan, scaling: Scaling | None = Scaling(30.0)) -> InstancePlan:
    return dataclasses.replace(plan(), workers=groups, scaling=scaling)


def config(given: InstancePlan) -> dict[str, object]:
    assert given.scaling is not None
    return autoscaling_config(given, given.scaling, Path("/door"), Path("/secret"))


@pytest.mark.parametrize(
    ("gpu", "options", "expected"),
    [
        (None, "", {"CPU": 2, "memory": GIB}),
        (GpuType("t4", "T4", 2), "", {"CPU": 2, "memory": GIB, "GPU": 2, "accelerator_type:T4": 1}),
        (None, "--num-cpus=0 --memory=5000", {"CPU": 0, "memory": 5000}),
        (GpuType("t4", "T4", 2), "--num-gpus=0", {"CPU": 2, "memory": GIB, "accelerator_type:T4": 1}),
        (None, "--num-gpus=1 --resources '{\"disk\": 3}'", {"CPU": 2, "memory": GIB, "GPU": 1, "disk": 3}),
    ],
)
def test_a_group_offers_what_its_nodes_offer(gpu: GpuType | None, options: str, expected: dict[str, int]) -> None:
    group = GroupPlan("small", 1, 1.5, GIB, gpu, ray_params=parse_ray_start_params(options))
    assert offered(group) == expected


def test_bounds_and_idle_times_are_the_groups() -> None:
    written = config(scaling_plan(SMALL, GroupPlan("more", 2, 1.0, GIB)))
    types = written["available_node_types"]
    assert isinstance(types, dict)
    assert {
        name: (row["min_workers"], row["max_workers"], row.get("idle_timeout_s")) for name, row in types.items()
    } == {
        "head": (0, 0, None),
        "small": (1, 4, 7.0),
        "more": (0, 2, 30.0),
    }
    assert (written["max_workers"], written["idle_timeout_minutes"]) == (6, 0.5)
    assert types["small"]["labels"] == {"ray.io/node-group": "small"}


@pytest.mark.parametrize(
    ("upscaling", "speed"), [(Upscaling.CONSERVATIVE, 1), (Upscaling.DEFAULT, 1000), (Upscaling.AGGRESSIVE, 1000)]
)
def test_how_eager_it_is(upscaling: Upscaling, speed: int) -> None:
    assert config(scaling_plan(SMALL, scaling=Scaling(60.0, upscaling)))["upscaling_speed"] == speed


def test_a_group_may_have_the_heads_name() -> None:
    written = config(scaling_plan(dataclasses.replace(SMALL, name="head")))
    assert written["head_node_type"] == "head.head"
    assert list(written["available_node_types"]) == ["head.head", "head"]  # type: ignore[call-overload]


def test_no_group_at_all_is_right_as_well() -> None:
    written = config(scaling_plan())
    assert written["max_workers"] == 0
    assert list(written["available_node_types"]) == ["head"]  # type: ignore[call-overload]


def test_a_minimum_above_everything_is_possible() -> None:
    assert greatest(dataclasses.replace(SMALL, min_replicas=3, max_replicas=None)) == 3


def test_the_file_follows_the_plan_and_the_secret_stays(tmp_path: Path, short_folder: Path) -> None:
    layout = Layout(tmp_path, short_folder)
    layout.make()
    given = scaling_plan(SMALL)
    folder = layout.create(given.instance, {})
    assert read_secret(layout, given.instance) == ""
    write_config(layout, given)
    secret = read_secret(layout, given.instance)
    assert len(secret) > 30
    assert secret not in (folder / AUTOSCALING_FILE).read_text()
    for name in (AUTOSCALING_FILE, AUTOSCALING_SECRET_FILE):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    before = (folder / AUTOSCALING_FILE).stat().st_ino
    write_config(layout, given)
    assert (folder / AUTOSCALING_FILE).stat().st_ino == before, "nothing has changed, so nothing is written"

    write_config(layout, scaling_plan_of(given, max_replicas=9))
    assert json.loads((folder / AUTOSCALING_FILE).read_text())["available_node_types"]["small"]["max_workers"] == 9
    (folder / AUTOSCALING_FILE).write_text("{")
    write_config(layout, given)
    assert json.loads((folder / AUTOSCALING_FILE).read_text())["max_workers"] == 4
    assert read_secret(layout, given.instance) == secret
    assert sorted(path.name for path in folder.iterdir()) == [AUTOSCALING_SECRET_FILE, AUTOSCALING_FILE, "nodes"]


def scaling_plan_of(given: InstancePlan, **changes: int) -> InstancePlan:
    return dataclasses.replace(given, workers=(dataclasses.replace(SMALL, **changes),))  # type: ignore[arg-type]


def test_without_autoscaling_nothing_is_written(tmp_path: Path, short_folder: Path) -> None:
    layout = Layout(tmp_path, short_folder)
    layout.make()
    given = scaling_plan(SMALL, scaling=None)
    folder = layout.create(given.instance, {})
    write_config(layout, given)
    assert [path.name for path in folder.iterdir()] == ["nodes"]


def test_a_link_is_followed(tmp_path: Path, short_folder: Path) -> None:
    layout = Layout(tmp_path, short_folder)
    layout.make()
    given = scaling_plan(SMALL)
    folder = layout.create(given.instance, {})
    (folder / AUTOSCALING_FILE).symlink_to(tmp_path / "elsewhere.json")
    write_config(layout, given)
    assert (folder / AUTOSCALING_FILE).is_symlink()
    assert json.loads((tmp_path / "elsewhere.json").read_text())["cluster_name"] == given.instance


def test_a_secret_that_was_lost_with_the_power_is_made_anew(tmp_path: Path, short_folder: Path) -> None:
    layout = Layout(tmp_path / "state", short_folder)
    layout.make()
    given = scaling_plan()
    layout.create(given.instance, {AUTOSCALING_SECRET_FILE: ""})
    write_config(layout, given)
    assert len(read_secret(layout, given.instance)) > 20
