"""The rules for what may change while an instance runs, case by case, and what must hold for all of them."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.engine import Demand, GroupPlan, InstancePlan, Scaling, Volume, Want
from heliostat.domain.releases import Release
from heliostat.domain.secret import Secret
from heliostat.engines.local.actions import (
    Add,
    Bury,
    Drain,
    Fail,
    Leave,
    Prepare,
    Renew,
    RenewHead,
    Replace,
    Retire,
    Revive,
    Start,
    Vouch,
)
from heliostat.engines.local.counts import awaited, held, scaled, wanted
from heliostat.engines.local.decisions import DRAIN_RETRY_SECONDS, POLL_SECONDS, decide, trouble
from heliostat.engines.local.endings import less_wanted
from heliostat.engines.local.facts import Facts, Seen
from heliostat.engines.local.notes import noted
from heliostat.engines.local.plans import for_scaler, head_mark, merged, unreachable
from heliostat.engines.local.records import (
    InstanceRecord,
    NodeRecord,
    decode_plan,
    decode_record,
    encode_plan,
    encode_record,
)
from heliostat.engines.local.renewal import OUTDATED, RENEWED
from heliostat.engines.local.scaler import asked_for

from ..conformance import GIB, plan
from .test_decisions import (
    ALIVE,
    EXITED,
    KILLED,
    NOW,
    OLD_RAY,
    PLAN,
    RULES,
    STARTING,
    facts,
    head,
    status,
    waiting,
    worker,
)

DEADLINE = RULES.drain_deadline.total_seconds()
DRAINED = Seen(False, dataclasses.replace(status("exited", "Ray ended the node."), death="AUTOSCALER_DRAIN_IDLE"))
ELASTIC = dataclasses.replace(
    PLAN,
    scaling=Scaling(),
    workers=tuple(dataclasses.replace(group, min_replicas=0, max_replicas=5) for group in PLAN.workers),
)


def elastic(
    *pairs: tuple[NodeRecord, Seen | None], number: int = 2, plan: InstancePlan = ELASTIC, up: bool = True
) -> Facts:
    """Facts of an instance whose autoscaler wants this many workers of the group."""
    seen = facts(*pairs, plan=plan, up=up)
    return dataclasses.replace(seen, record=dataclasses.replace(seen.record, wanted={"small": number}))


def granting(count: int | None, workers: int = 2, base: InstancePlan = PLAN) -> InstancePlan:
    groups = tuple(dataclasses.replace(group, replicas=workers, granted=count) for group in base.workers)
    return dataclasses.replace(base, workers=groups)


SCALED_HEAD = head(scaler=True)


class TestAutoscaler:
    @pytest.mark.parametrize(("seen", "lost"), [(KILLED, True), (EXITED, True), (DRAINED, False)])
    def test_a_worker_that_is_gone_is_its_affair(self, seen: Seen, lost: bool) -> None:
        (step,) = decide(elastic((SCALED_HEAD, ALIVE), (worker("a"), seen), (worker("b"), ALIVE)), RULES).steps
        assert isinstance(step, Bury)
        assert (step.node, step.lost) == ("a", lost)

    def test_before_it_was_up_once_it_is_replaced(self) -> None:
        start = elastic((SCALED_HEAD, ALIVE), (worker("a"), KILLED), (worker("b"), ALIVE), up=False)
        (step,) = decide(start, RULES).steps
        assert isinstance(step, Replace)

    def test_without_an_autoscaler_a_drained_worker_is_replaced_too(self) -> None:
        (step,) = decide(facts((head(), ALIVE), (worker("a"), DRAINED), (worker("b"), ALIVE)), RULES).steps
        assert isinstance(step, Replace)

    def test_it_begins_with_the_replicas(self) -> None:
        assert decide(facts(plan=ELASTIC, up=False), RULES).steps == (Add("head", "head", 1), Add("worker", "small", 2))

    def test_then_other_replicas_mean_nothing(self) -> None:
        more = dataclasses.replace(ELASTIC, workers=(dataclasses.replace(ELASTIC.workers[0], replicas=4),))
        assert decide(elastic((SCALED_HEAD, ALIVE), (worker("a"), ALIVE), number=1, plan=more), RULES).steps == ()

    def test_a_lower_maximum_takes_the_longest_idle_first(self) -> None:
        less = dataclasses.replace(ELASTIC, workers=(dataclasses.replace(ELASTIC.workers[0], max_replicas=1),))
        seen = elastic((SCALED_HEAD, ALIVE), (worker("a"), ALIVE), (worker("b"), ALIVE), plan=less)
        seen = dataclasses.replace(seen, idle={"a": 30.0, "b": 2.0})
        assert decide(seen, RULES).steps == (Leave(("a",), "small", "no more than 1 allowed"),)
        assert noted(seen).wanted == {"small": 1}

    def test_one_in_the_place_of_a_lost_worker_is_wanted_also_at_the_maximum(self) -> None:
        """It may ask before the lost one is noted, and the number counts that one until then."""
        full = dataclasses.replace(ELASTIC, workers=(dataclasses.replace(ELASTIC.workers[0], max_replicas=2),))
        lost, coming = worker("b"), waiting(worker("c", request="r1"))
        seen = elastic((SCALED_HEAD, ALIVE), (worker("a"), ALIVE), (lost, KILLED), (coming, None), number=3, plan=full)
        assert noted(seen).wanted == {"small": 3}
        buried = less_wanted(noted(seen).without_node("b"), "small")
        after = dataclasses.replace(seen, record=buried)
        assert decide(after, RULES).steps == (Start("c"),)
        assert noted(after).wanted == {"small": 2}

    @pytest.mark.parametrize(
        ("scaling", "node", "decides"),
        [
            (Scaling(), None, True),
            (None, None, False),
            (Scaling(), head(), False),
            (None, SCALED_HEAD, True),
            (Scaling(), waiting(head()), True),
        ],
    )
    def test_who_decides_is_settled_by_what_the_head_was_begun_with(
        self, scaling: Scaling | None, node: NodeRecord | None, decides: bool
    ) -> None:
        nodes = () if node is None else (node,)
        assert scaled(dataclasses.replace(PLAN, scaling=scaling), InstanceRecord(PLAN.instance, NOW, nodes)) == decides

    def test_where_the_plan_wants_none_a_running_one_may_neither_add_nor_remove(self) -> None:
        told = for_scaler(PLAN, running=True)
        assert told.scaling is not None
        assert [(group.min_replicas, group.max_replicas) for group in told.workers] == [(2, 2)]
        assert for_scaler(PLAN, running=False) == PLAN
        assert for_scaler(ELASTIC, running=True) == ELASTIC
        record = InstanceRecord(PLAN.instance, NOW, (SCALED_HEAD,), wanted={"small": 7})
        assert wanted(PLAN, record, PLAN.workers[0]) == 2

    @pytest.mark.parametrize(
        ("demand", "text"),
        [
            (None, "Ray's autoscaler asks for it"),
            (Demand(), "Ray's autoscaler asks for it"),
            (Demand(pending=(Want({"CPU": 1.0}, 8),)), "8 CPU demanded"),
            (Demand(pending=(Want({"CPU": 0.5, "GPU": 1.0}, 3), Want({"CPU": 2.0}, 1))), "3.5 CPU, 3 GPU demanded"),
            (Demand(pending=(Want({"memory": 1.5 * GIB, "CPU_group_0_ab": 1.0}, 1),)), "1.5 GiB memory demanded"),
        ],
    )
    def test_why_workers_are_added_is_said(self, demand: Demand | None, text: str) -> None:
        assert asked_for(demand, 0, 1) == text

    def test_a_minimum_is_a_reason_too(self) -> None:
        assert asked_for(None, 2, 1) == "its minimum is 2"


class TestGrants:
    def test_no_more_start_than_are_granted(self) -> None:
        new = facts(
            (head(), ALIVE), (worker("a"), ALIVE), (waiting(worker("b")), None), (waiting(worker("c")), None),
            plan=granting(2, 3),
        )  # fmt: skip
        assert decide(new, RULES).steps == (Start("b"),)
        assert held(new.plan, new.record) == {"c"}

    def test_one_that_still_drains_takes_its_room(self) -> None:
        going = worker("a", leaving="1 wanted", draining_since=NOW - 5)
        new = facts((head(), ALIVE), (going, dataclasses.replace(ALIVE, drain_accepted=True)),
                    (waiting(worker("b")), None), plan=granting(1, 1))  # fmt: skip
        assert decide(new, RULES).steps == ()

    def test_a_smaller_grant_ends_nothing(self) -> None:
        assert decide(facts((head(), ALIVE), (worker("a"), ALIVE), (worker("b"), ALIVE), plan=granting(0)), RULES) == (
            decide(facts((head(), ALIVE), (worker("a"), ALIVE), (worker("b"), ALIVE)), RULES)
        )

    def test_without_a_head_no_worker_starts_and_no_turn_is_asked_for(self) -> None:
        new = facts(
            (waiting(head()), None), (waiting(worker("a")), None), (waiting(worker("b")), None), up=False, turn=False
        )
        plan = dataclasses.replace(PLAN, head=dataclasses.replace(PLAN.head, granted=0))
        assert decide(dataclasses.replace(new, plan=plan), RULES).steps == ()

    def test_the_deadline_does_not_count_what_waits(self) -> None:
        late = facts(
            (head(), ALIVE), (worker("a"), STARTING), (waiting(worker("b")), None),
            plan=granting(1), up=False, started_at=NOW - 301,
        )  # fmt: skip
        (step,) = decide(late, RULES).steps
        assert isinstance(step, Fail)
        assert "worker a of group small" in step.message
        assert "worker b" not in step.message

    def test_what_waits_does_not_keep_the_instance_from_being_up(self) -> None:
        start = facts((head(), ALIVE), (worker("a"), ALIVE), (waiting(worker("b")), None), plan=granting(1), up=False)
        assert noted(start).up_at == NOW
        assert [node.node for node in awaited(start.plan, start.record)] == ["h", "a"]


class TestDrain:
    def going(self, since: float, seen: Seen = ALIVE) -> Facts:
        node = worker("b", leaving="1 wanted", draining_since=since)
        return facts((head(), ALIVE), (worker("a"), ALIVE), (node, seen), plan=plan(workers=1))

    def test_ray_is_asked(self) -> None:
        assert decide(self.going(NOW), RULES).steps == (Drain("b"),)

    @pytest.mark.parametrize(
        ("asked", "steps"), [(NOW - 1, ()), (NOW - DRAIN_RETRY_SECONDS, (Drain("b"),)), (NOW + 99, (Drain("b"),))]
    )
    def test_and_asked_again_while_it_does_not_answer(self, asked: float, steps: tuple[Drain, ...]) -> None:
        seen = dataclasses.replace(ALIVE, drain_asked_at=asked)
        assert decide(self.going(NOW - 10, seen), RULES).steps == steps

    def test_the_answer_is_looked_for_often_at_first(self) -> None:
        assert decide(self.going(NOW, dataclasses.replace(ALIVE, drain_asked_at=NOW)), RULES).again == POLL_SECONDS
        later = decide(self.going(NOW - 9, dataclasses.replace(ALIVE, drain_asked_at=NOW - 2)), RULES)
        assert later.again == pytest.approx(DRAIN_RETRY_SECONDS - 2)

    def test_then_it_has_its_time(self) -> None:
        accepted = dataclasses.replace(ALIVE, drain_accepted=True, drain_asked_at=NOW - 10)
        decision = decide(self.going(NOW - 10, accepted), RULES)
        assert (decision.steps, decision.again) == ((), DEADLINE - 10)
        assert decide(self.going(NOW - DEADLINE, accepted), RULES).steps == (Retire("b", timed_out=True),)

    def test_a_clock_that_was_set_back_does_not_prolong_it(self) -> None:
        accepted = dataclasses.replace(ALIVE, drain_accepted=True)
        assert decide(self.going(NOW + 9999, accepted), RULES).again == DEADLINE

    @pytest.mark.parametrize("seen", [KILLED, EXITED, DRAINED])
    def test_however_it_ends_nothing_takes_its_place(self, seen: Seen) -> None:
        (step,) = decide(self.going(NOW - 10, seen), RULES).steps
        assert isinstance(step, Bury)
        assert not step.lost

    def test_one_that_is_not_registered_goes_at_once(self) -> None:
        assert decide(self.going(0.0, STARTING), RULES).steps == (Retire("b"),)
        place = waiting(worker("b", leaving="1 wanted"))
        quick = facts((head(), ALIVE), (worker("a"), ALIVE), (place, None), plan=plan(workers=1))
        assert decide(quick, RULES).steps == (Retire("b"),)

    def test_a_scale_up_meanwhile_adds_new_ones(self) -> None:
        more = dataclasses.replace(self.going(NOW - 5, dataclasses.replace(ALIVE, drain_accepted=True)), plan=PLAN)
        assert decide(more, RULES).steps == (Add("worker", "small", 1),)

    def test_workers_of_a_group_that_is_gone_go(self) -> None:
        bare = dataclasses.replace(PLAN, workers=())
        seen = facts((head(), ALIVE), (worker("a"), ALIVE), (worker("b"), KILLED), plan=bare)
        (first,) = decide(seen, RULES).steps
        assert isinstance(first, Bury)
        rest = facts((head(), ALIVE), (worker("a"), ALIVE), plan=bare)
        assert decide(rest, RULES).steps == (Leave(("a",), "small", "the group was removed"),)


class TestRenewal:
    NEWER = dataclasses.replace(PLAN, generation=2, renew=2)

    def old(self, *pairs: tuple[NodeRecord, Seen | None], plan: InstancePlan = NEWER, **changes: object) -> Facts:
        first = (head(generation=1, born=head_mark(plan)), ALIVE)
        return facts(first, *pairs, plan=plan, **changes)  # type: ignore[arg-type]

    def test_one_old_worker_after_the_other(self) -> None:
        seen = self.old((worker("a", generation=1), ALIVE), (worker("b", generation=1), ALIVE))
        assert decide(dataclasses.replace(seen, idle={"b": 5.0}), RULES).steps == (Renew("b"),)

    @pytest.mark.parametrize("successor", [(None, 0.0), (STARTING, NOW - 5)])
    def test_the_next_only_when_the_successor_lives(self, successor: tuple[Seen | None, float]) -> None:
        place = dataclasses.replace(worker("c", generation=2, replaces="b"), launched_at=successor[1])
        seen = self.old((worker("a", generation=1), ALIVE), (place, successor[0]))
        assert not [step for step in decide(seen, RULES).steps if isinstance(step, Renew)]

    def test_the_successor_waits_until_the_old_one_is_gone(self) -> None:
        going = worker("b", generation=1, leaving=OUTDATED, draining_since=NOW - 5)
        accepted = dataclasses.replace(ALIVE, drain_accepted=True)
        place = waiting(worker("c", generation=2, replaces="b"))
        pairs = [(worker("a", generation=1), ALIVE), (going, accepted), (place, None)]
        assert decide(self.old(*pairs), RULES).steps == ()
        assert decide(self.old(pairs[0], pairs[2]), RULES).steps == (Start("c"),)

    def test_environments_come_first(self) -> None:
        seen = self.old((worker("a", generation=1), ALIVE), (worker("b", generation=1), ALIVE), environment_ready=False)
        assert decide(seen, RULES).steps == (Prepare(),)
        broken = dataclasses.replace(seen, environment_failure="no index")
        assert decide(broken, RULES).steps == ()
        assert trouble(broken) == "no index"

    def test_the_head_comes_last_and_only_if_it_must(self) -> None:
        rest = ((worker("a", generation=2), ALIVE), (worker("b", generation=2), ALIVE))
        assert decide(self.old(*rest), RULES).steps == (Vouch("h"),)
        other = (head(generation=1, born="something else"), ALIVE)
        assert decide(facts(other, *rest, plan=self.NEWER), RULES).steps == (RenewHead("h"),)
        before = facts(other, (worker("a", generation=1), ALIVE), rest[1], plan=self.NEWER)
        assert decide(before, RULES).steps == (Renew("a"),)

    def test_a_head_that_keeps_its_state_in_memory_is_left(self) -> None:
        newer = dataclasses.replace(OLD_RAY, generation=2, renew=2)
        rest = ((worker("a", generation=2), ALIVE), (worker("b", generation=2), ALIVE))
        seen = facts((head(generation=1, born="something else"), ALIVE), *rest, plan=newer)
        assert decide(seen, RULES).steps == ()
        assert "needs a restart of the cluster" in trouble(seen)

    def test_a_head_that_is_away_for_it_is_no_trouble_of_its_own(self) -> None:
        away = waiting(head(reason=RENEWED, down_since=NOW - 2, restarts=1))
        seen = facts(
            (away, None), (worker("a", generation=2), ALIVE), (worker("b", generation=2), ALIVE), plan=self.NEWER
        )
        assert "died" not in trouble(seen)

    def test_a_plan_that_asks_for_more_than_its_own_generation_is_no_endless_task(self) -> None:
        mad = dataclasses.replace(self.NEWER, renew=99)
        seen = facts(
            (head(generation=2), ALIVE),
            (worker("a", generation=2), ALIVE),
            (worker("b", generation=2), ALIVE),
            plan=mad,
        )
        assert decide(seen, RULES).steps == ()

    def test_a_group_is_told_of_when_its_last_worker_is_there(self) -> None:
        pairs = ((head(generation=2), ALIVE), (worker("a", generation=2), ALIVE))
        under_way = facts(*pairs, (worker("b", generation=2), STARTING), plan=self.NEWER)
        under_way = dataclasses.replace(under_way, record=dataclasses.replace(under_way.record, renewing={"small": 2}))
        assert noted(under_way).incidents == ()
        seen = {**under_way.seen, "b": ALIVE}
        done = noted(dataclasses.replace(under_way, seen=seen))
        assert [incident.reason for incident in done.incidents] == ["GroupRenewed"]
        assert done.renewing == {}


class TestMerged:
    def test_shapes_and_the_head_stay_as_they_run(self) -> None:
        newer = plan(PLAN.instance, workers=7, generation=2, granted=3, env={"NEW": "yes"})
        newer = dataclasses.replace(
            newer,
            head=dataclasses.replace(newer.head, cpus=64.0, env={"NEW": "yes"}, granted=1),
            workers=tuple(
                dataclasses.replace(
                    group,
                    cpus=64.0,
                    min_replicas=1,
                    max_replicas=9,
                    idle_seconds=5.0,
                    ray_params={"labels": {"a": "b"}},
                )
                for group in newer.workers
            ),
            release=Release("other", "2.99.0", "3.13"),
            volumes=(Volume("data", "/data"),),
            labels={"team": "blue"},
            scaling=Scaling(),
            ray_token=Secret("another" * 5),
        )
        result = merged(PLAN, newer)
        assert (result.generation, result.labels, result.scaling) == (2, {"team": "blue"}, Scaling())
        assert result.head == dataclasses.replace(PLAN.head, granted=1)
        assert (result.release, result.volumes, result.ray_token) == (PLAN.release, (), PLAN.ray_token)
        group = result.workers[0]
        assert (group.replicas, group.granted, group.min_replicas, group.max_replicas) == (7, 3, 1, 9)
        assert (group.env, group.idle_seconds, group.ray_params) == ({"NEW": "yes"}, 5.0, {"labels": {"a": "b"}})
        assert (group.cpus, group.memory_bytes) == (PLAN.workers[0].cpus, PLAN.workers[0].memory_bytes)

    def test_groups_come_and_go(self) -> None:
        other = GroupPlan("other", 3, 4.0, GIB)
        assert merged(PLAN, dataclasses.replace(PLAN, generation=2, workers=(other,))).workers == (other,)

    def test_a_renewal_takes_all_that_nodes_need_not_agree_on(self) -> None:
        newer = dataclasses.replace(
            plan(PLAN.instance, generation=2, renew=2), head=dataclasses.replace(PLAN.head, cpus=64.0),
            release=dataclasses.replace(PLAN.release, packages=("more",)), ray_token=None,
        )  # fmt: skip
        assert merged(PLAN, newer) == dataclasses.replace(newer, ray_token=PLAN.ray_token)

    def test_but_not_another_ray(self) -> None:
        newer = dataclasses.replace(PLAN, generation=2, renew=2, release=Release("other", "2.99.0", "3.13"))
        assert merged(PLAN, newer).release == PLAN.release
        assert "Ray" in unreachable(PLAN, newer)
        assert unreachable(PLAN, PLAN) == ""

    def test_it_is_the_same_after_a_restart_of_the_server(self) -> None:
        whole = dataclasses.replace(ELASTIC, renew=3, ray_token=None)
        assert decode_plan(encode_plan(whole)) == whole
        full = dataclasses.replace(
            elastic((SCALED_HEAD, ALIVE), (worker("a", leaving="x", draining_since=5.0), ALIVE)).record,
            requests=("r1", "r2"),
            renewing={"small": 1},
        )
        assert decode_record(encode_record(full)) == full

    def test_grants_and_counts_are_no_part_of_a_head(self) -> None:
        other = dataclasses.replace(PLAN, head=dataclasses.replace(PLAN.head, granted=1, replicas=3))
        assert head_mark(other) == head_mark(PLAN)
        assert head_mark(dataclasses.replace(PLAN, volumes=(Volume("data", "/data"),))) != head_mark(PLAN)
        assert head_mark(ELASTIC) != head_mark(PLAN)


@st.composite
def worlds(draw: st.DrawFn) -> Facts:
    """Any instance: some workers, in any state, under any plan."""
    group = GroupPlan(
        "small", draw(st.integers(0, 4)), 1.0, GIB,
        granted=draw(st.none() | st.integers(0, 4)), max_replicas=draw(st.none() | st.integers(0, 4)),
    )  # fmt: skip
    chosen = dataclasses.replace(
        PLAN,
        workers=(group,) if draw(st.booleans()) else (),
        scaling=draw(st.sampled_from([None, Scaling()])),
        generation=3,
        renew=draw(st.integers(0, 4)),
        release=draw(st.sampled_from([PLAN.release, OLD_RAY.release])),
    )
    states = [None, ALIVE, STARTING, KILLED, EXITED, DRAINED, dataclasses.replace(ALIVE, drain_accepted=True)]
    leader, leading = draw(st.booleans()), draw(st.sampled_from(states[:5]))
    first = head(scaler=leader, generation=draw(st.integers(1, 3)))
    pairs = [(waiting(first), None) if leading is None else (first, leading)]
    for index in range(draw(st.integers(0, 5))):
        seen = draw(st.sampled_from(states))
        leaving = draw(st.sampled_from(["", "", "1 wanted", OUTDATED]))
        node = worker(
            f"w{index}",
            generation=draw(st.integers(1, 3)),
            leaving=leaving,
            draining_since=draw(st.sampled_from([0.0, NOW - 5, NOW - DEADLINE - 1])) if leaving else 0.0,
            replaces=draw(st.sampled_from(["", "w0", "gone"])) if index else "",
            request=draw(st.sampled_from(["", "r1"])),
        )
        pairs.append((waiting(node), None) if seen is None else (node, seen))
    result = facts(
        *pairs, plan=chosen, up=draw(st.booleans()),
        environment_ready=draw(st.booleans()), turn=draw(st.booleans()), started_at=draw(st.sampled_from([0.0, NOW - 9])),
    )  # fmt: skip
    result = dataclasses.replace(
        result, record=dataclasses.replace(result.record, wanted={"small": draw(st.integers(0, 4))})
    )
    return dataclasses.replace(result, record=noted(result))


@given(worlds())
def test_whatever_there_is_no_step_breaks_a_rule(world: Facts) -> None:
    steps = decide(world, RULES).steps
    record = world.record
    for group in world.plan.workers:
        started = [step.node for step in steps if isinstance(step, Start) and record.node(step.node).kind == "worker"]
        launched = [node for node in record.nodes if node.kind == "worker" and node.launched_at]
        if group.granted is not None and started:
            assert len(launched) + len(started) <= group.granted
    for step in steps:
        if isinstance(step, Replace | Start | Renew):
            assert not record.node(step.node).leaving, "a node that goes is neither started nor replaced"
        if isinstance(step, Start):
            assert not record.has(record.node(step.node).replaces)
            assert not record.node(step.node).launched_at
        if isinstance(step, Replace) and scaled(world.plan, record):
            assert not record.up_at, "the autoscaler decides what takes a lost worker's place"
        if isinstance(step, Retire):
            assert record.node(step.node).leaving
        if isinstance(step, Leave):
            assert all(not record.node(name).leaving and record.node(name).kind == "worker" for name in step.nodes)
        if isinstance(step, Renew | RenewHead):
            assert len(steps) == 1
            assert record.up_at
        if isinstance(step, Revive | RenewHead | Vouch):
            assert record.node(step.node).kind == "head"
        if isinstance(step, Drain):
            assert world.registered(record.node(step.node))


@given(worlds())
def test_what_is_noted_is_noted_once(world: Facts) -> None:
    again = dataclasses.replace(world, record=noted(world))
    assert noted(again) == again.record
