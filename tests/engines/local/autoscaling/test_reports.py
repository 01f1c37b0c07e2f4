"""What the autoscaler knows of a cluster, in our words."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import ValidationError

from heliostat.domain.engine import Demand, GroupPlan, Want
from heliostat.engines.local.autoscaling.base import ScalerNode
from heliostat.engines.local.autoscaling.door import REPORT
from heliostat.engines.local.autoscaling.reports import Failure, NodeReport, Report, Row, demand, idle

from ...conformance import GIB, plan

PLAN = dataclasses.replace(
    plan(),
    head=GroupPlan("head", 1, 1.0, GIB, ray_params={"num_cpus": 0, "resources": {"disk": 1}}),
    workers=(GroupPlan("small", 0, 2.0, GIB, max_replicas=2), GroupPlan("more", 0, 1.0, GIB, max_replicas=0)),
)
NOW = 1000.0
FULL = [ScalerNode(f"w{number}", "worker", "small", "", True) for number in range(2)]
ONE = Row({"CPU": 1.0}, 3)
BIG = Row({"CPU": 3.0}, 1)


def seen(report: Report, nodes: list[ScalerNode] | None) -> Demand:
    return demand(report, PLAN, nodes, NOW)


def test_what_fits_a_group_waits_and_what_fits_none_is_infeasible() -> None:
    found = seen(Report(tasks=[BIG, ONE, Row({"disk": 1.0}, 1), Row({"tape": 1.0}, 9)]), [])
    assert found.pending == (Want({"CPU": 1.0}, 3), Want({"disk": 1.0}, 1))
    assert found.infeasible == (Want({"tape": 1.0}, 9), Want({"CPU": 3.0}, 1))


def test_what_only_finds_no_room_at_present_waits() -> None:
    """Ray calls it unplaceable as well when the maximum is reached."""
    report = Report(tasks=[ONE], unplaceable_tasks=[Row({"CPU": 1.0}, 2)])
    assert seen(report, FULL).pending == (Want({"CPU": 1.0}, 3),)
    assert seen(report, None).pending == (Want({"CPU": 1.0}, 3),), "before its first decision it has no opinion"


def test_what_ray_cannot_place_although_a_group_may_grow_is_infeasible() -> None:
    report = Report(groups=[ONE], unplaceable_groups=[ONE])
    assert seen(report, FULL[:1]).infeasible == (Want({"CPU": 1.0}, 3, "placement group"),)


def test_a_request_for_resources_counts_for_what_it_lacks() -> None:
    nodes = {"w0": NodeReport(0, {"CPU": 2.0}), "w1": NodeReport(0, {"CPU": 1.0, "memory": 5.0})}
    asked = Report(requested=[Row({"CPU": 1.0}, 5), Row({"CPU": 2.0}, 1)], nodes=nodes)
    assert seen(asked, FULL).pending == (Want({"CPU": 1.0}, 4, "request_resources"),)
    met = Report(requested=[Row({"CPU": 1.0}, 3)], nodes=nodes)
    assert seen(met, FULL) == Demand()


def test_a_request_for_nothing_at_all_takes_no_time() -> None:
    nodes = {"w0": NodeReport(0, {"CPU": 2.0})}
    rows = [Row({}, 10**9), Row({"CPU": 0.0}, 10**9), Row({"CPU": 1e-300}, 10**9)]
    assert seen(Report(requested=rows, nodes=nodes), FULL) == Demand()


@pytest.mark.parametrize(
    "report",
    [
        '{"tasks": [{"resources": {}, "count": 1000000000000}]}',
        '{"tasks": [{"resources": {"CPU": NaN}, "count": 1}]}',
        '{"tasks": [{"resources": {"CPU": -1}, "count": 1}]}',
        '{"nodes": {"n": {"idle": Infinity, "resources": {}}}}',
        '{"failures": [{"group": "g", "count": 1, "at": 1, "reason": "' + "x" * 3000 + '"}]}',
    ],
)
def test_what_cannot_be_is_no_report(report: str) -> None:
    with pytest.raises(ValidationError):
        REPORT.validate_json(report)


def test_work_inside_a_placement_group_wants_no_node() -> None:
    inside = {
        "CPU_group_0_477d020400458b0422bb502815ce02000000": 1.0,
        "bundle_group_477d020400458b0422bb502815ce02000000": 0.001,
    }
    assert seen(Report(tasks=[Row(inside, 1)]), []) == Demand()
    mine = {"my_group_disk": 1.0}
    assert seen(Report(tasks=[Row(mine, 1)]), []).infeasible == (Want(mine, 1),)


def test_a_failure_is_told_for_a_while() -> None:
    old, new = Failure("small", 1, "it was long ago", NOW - 300), Failure("small", 1, "the door is closed.\n", NOW - 2)
    assert seen(Report(failures=[old]), []).problem == ""
    assert seen(Report(failures=[new, old]), []).problem == (
        "Ray's autoscaler got no nodes of group small: the door is closed."
    )


def test_idle_times_are_by_node() -> None:
    assert idle(Report(nodes={"w0": NodeReport(3.5, {}), "w1": NodeReport(0.0, {})})) == {"w0": 3.5, "w1": 0.0}
