"""How many nodes there are and shall be, and what waits for nodes, in words."""

from __future__ import annotations

from dataclasses import replace

from heliostat.domain.engine import Demand, NodeObservation, NodeState, Want
from heliostat.domain.headcount import GroupCount, demand_in_words, group_counts, nodes_wanted
from heliostat.domain.ids import NodeId
from heliostat.domain.quantities import GIB
from heliostat.domain.spec import Autoscaling

from .samples import NOW, SPEC, instance

STATES = (NodeState.ALIVE, NodeState.STARTING, NodeState.PENDING, NodeState.DRAINING, NodeState.EXITED)


def nodes(group: str) -> tuple[NodeObservation, ...]:
    return tuple(NodeObservation(NodeId(f"{group}-{state}"), "worker", group, state, NOW) for state in STATES)


def test_a_fixed_group_wants_what_its_spec_says() -> None:
    run = replace(instance("a"), nodes=nodes("g"))
    assert group_counts(run) == (GroupCount("g", 2, 1, 2, 1),)
    assert nodes_wanted(run) == 3


def test_a_group_of_the_autoscaler_wants_what_is_there_or_coming() -> None:
    group = replace(SPEC.workers[0], replicas=2, min_replicas=1, max_replicas=9)
    spec = replace(SPEC, autoscaling=Autoscaling(True), workers=(group,))
    begun = replace(instance("a"), spec=spec)
    assert group_counts(begun) == (GroupCount("g", 2, 0, 0, 0, 1, 9),), "what it begins with"
    run = replace(begun, nodes=nodes("g"), running_at=NOW)
    assert group_counts(run) == (GroupCount("g", 3, 1, 2, 1, 1, 9),)
    assert nodes_wanted(replace(run, nodes=())) == 1


def test_a_removed_group_is_told_of_while_its_nodes_are_there() -> None:
    run = replace(instance("a"), nodes=(*nodes("g"), *nodes("gone")))
    assert group_counts(run)[1:] == (GroupCount("gone", 0, 1, 2, 1),)
    assert len(group_counts(replace(run, nodes=nodes("gone")[-1:]))) == 1


def test_demand_in_words() -> None:
    many = tuple(Want({"CPU": float(number)}, 1) for number in range(2, 9))
    demand = Demand((Want({"CPU": 1.0, "memory": 2.0 * GIB}, 3),), many, "the queue is full")
    words = demand_in_words(demand)
    assert words[0] == "3 x {CPU: 1, memory: 2Gi} (tasks and actors) wait for workers"
    assert words[1] == "1 x {CPU: 2} (tasks and actors) waits in vain: no node of any group is large enough"
    assert words[-2:] == ("and work of 2 more kinds", "the autoscaler gets no workers: the queue is full")
    assert demand_in_words(None) == ()
