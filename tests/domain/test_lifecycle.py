"""``decide`` over the whole product of what can be stored and seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product

import pytest

from heliostat.domain.engine import Observation
from heliostat.domain.ids import InstanceId
from heliostat.domain.lifecycle import ATTENTION, GLANCE, Facts, Plan, decide
from heliostat.domain.records import Instance
from heliostat.domain.states import COHERENT, EDGES, State, Wanted, may, toward

from . import samples
from .samples import NOW

See = Callable[[InstanceId], Observation]

PRESENT: dict[str, See | None] = {
    "none": None,
    "absent": samples.absent,
    "starting": samples.starting,
    "complete": samples.complete,
    "grown": samples.grown,
    "without workers": samples.without_workers,
    "without jobs": samples.without_jobs,
    "without endpoints": samples.without_endpoints,
    "without nodes": samples.without_nodes,
    "failed": samples.failed,
    "stuck": samples.stuck,
}
FORMER: dict[str, tuple[See, ...]] = {
    "none": (),
    "gone": (samples.absent,),
    "there": (samples.complete,),
    "failed": (samples.failed,),
    "stuck": (samples.stuck,),
    "one gone, one there": (samples.absent, samples.starting),
    "two there": (samples.stuck, samples.complete),
}
BY_USERS = {
    (State.STOPPED, State.STARTING),
    (State.ERROR, State.STARTING),
    (State.RUNNING, State.STARTING),
    (State.STARTING, State.STOPPING),
    (State.RUNNING, State.STOPPING),
    (State.ERROR, State.STOPPING),
}
"""The edges that a use case takes itself, in the transaction that records the wish."""


@dataclass(frozen=True)
class Case:
    state: State
    wanted: Wanted
    present: str
    retired: bool
    """Whether the run that the cluster names is one that is no longer wanted, as while it stops."""
    former: str

    @property
    def facts(self) -> Facts:
        rows: list[Instance] = []
        seen: dict[InstanceId, Observation] = {}
        for index, see in enumerate(FORMER[self.former]):
            rows.append(samples.instance(f"former{index}", retired=True))
            seen[rows[-1].id] = see(rows[-1].id)
        see_present = PRESENT[self.present]
        named = None
        if see_present is not None:
            rows.append(samples.instance("present", retired=self.retired))
            named = rows[-1].id
            seen[named] = see_present(named)
        return Facts(samples.cluster(self.state, self.wanted, named), tuple(rows), seen)

    @property
    def coherent(self) -> bool:
        """Whether users and the loop can bring it about."""
        if self.state not in COHERENT[self.wanted]:
            return False
        wanted_run = self.present != "none" and not self.retired
        return wanted_run == (self.wanted is Wanted.RUNNING)


def cases() -> Iterator[Case]:
    for state, wanted, present, retired, former in product(State, Wanted, PRESENT, (False, True), FORMER):
        if not (retired and present == "none"):
            yield Case(state, wanted, present, retired, former)


CASES = list(cases())


def failures(check: Callable[[Case, Facts, Plan], bool]) -> list[Case]:
    """The cases in which the check does not hold."""
    found = []
    for case in CASES:
        facts = case.facts
        if not check(case, facts, decide(facts, NOW)):
            found.append(case)
    return found


def test_the_product_is_whole() -> None:
    assert len(CASES) == len(State) * len(Wanted) * (2 * len(PRESENT) - 1) * len(FORMER)
    assert sum(case.coherent for case in CASES) > 300


def test_no_forbidden_edge_is_ever_taken() -> None:
    assert not failures(lambda case, facts, plan: may(case.state, plan.status.state))


def test_what_is_wanted_and_the_state_never_contradict_each_other() -> None:
    assert not failures(
        lambda case, facts, plan: not case.coherent or plan.status.state in COHERENT[case.wanted] or plan.purge
    )


def test_every_unwanted_run_is_destroyed_while_it_is_there_and_recorded_as_ended_once_gone() -> None:
    def check(case: Case, facts: Facts, plan: Plan) -> bool:
        unwanted = [row for row in facts.instances if row is not facts.present]
        there = tuple(row for row in unwanted if facts.seen[row.id].present)
        return plan.destroy == there and plan.ended == tuple(row for row in unwanted if row not in there)

    assert not failures(check)


def test_a_run_is_made_only_when_wanted_and_no_other_is_left() -> None:
    def check(case: Case, facts: Facts, plan: Plan) -> bool:
        if plan.apply is None:
            return True
        return (
            case.wanted is Wanted.RUNNING
            and plan.apply is facts.present
            and not plan.destroy
            and plan.status.state in (State.STARTING, State.RUNNING)
        )

    assert not failures(check)


def test_a_run_that_is_wanted_and_not_failed_is_made() -> None:
    def check(case: Case, facts: Facts, plan: Plan) -> bool:
        due = (
            case.coherent
            and case.wanted is Wanted.RUNNING
            and case.state is not State.ERROR
            and case.present != "failed"
            and not plan.destroy
        )
        return not due or plan.apply is facts.present is not None

    assert not failures(check)


def test_a_deleted_cluster_is_forgotten_exactly_when_nothing_is_left() -> None:
    assert not failures(lambda case, facts, plan: plan.purge == (case.wanted is Wanted.DELETED and not plan.destroy))


def test_it_looks_again_until_it_is_at_rest() -> None:
    def check(case: Case, facts: Facts, plan: Plan) -> bool:
        at_rest = not plan.destroy and (plan.purge or plan.status.state in (State.STOPPED, State.ERROR))
        if plan.again is None:
            return at_rest
        return plan.again <= (GLANCE if plan.status.state is State.RUNNING and not plan.destroy else ATTENTION)

    assert not failures(check)


def test_a_change_into_a_lasting_state_is_told_once() -> None:
    def check(case: Case, facts: Facts, plan: Plan) -> bool:
        if plan.status.state is case.state or plan.purge:
            return plan.status.why is None
        lasting = plan.status.state in (State.RUNNING, State.ERROR, State.STOPPED)
        return not case.coherent or lasting == (plan.status.why is not None)

    assert not failures(check)


def test_running_is_only_claimed_when_everything_answers() -> None:
    def check(case: Case, facts: Facts, plan: Plan) -> bool:
        up = case.present in ("complete", "grown")
        return plan.status.state is not State.RUNNING or case.state is State.RUNNING or up

    assert not failures(check)


def test_the_message_tells_what_is_wrong() -> None:
    def check(case: Case, facts: Facts, plan: Plan) -> bool:
        status = plan.status
        if status.state is State.ERROR:
            return status.message not in ("", "ok")
        if case.coherent and case.wanted is Wanted.RUNNING and case.present in ("stuck", "without workers"):
            return status.message != "ok"
        return bool(status.message)

    assert not failures(check)


def test_a_running_cluster_whose_nodes_are_gone_says_so() -> None:
    plan = decide(Case(State.RUNNING, Wanted.RUNNING, "absent", False, "none").facts, NOW)
    assert plan.status.state is State.RUNNING and "started again" in plan.status.message
    assert plan.apply is not None


def test_a_start_that_waits_for_the_former_run_says_what_holds_it_up() -> None:
    plan = decide(Case(State.STARTING, Wanted.RUNNING, "absent", False, "stuck").facts, NOW)
    assert plan.apply is None and "4711" in plan.status.message


def test_a_wanted_run_that_is_not_on_record_is_an_error_and_no_silent_stop() -> None:
    plan = decide(Case(State.RUNNING, Wanted.RUNNING, "none", False, "none").facts, NOW)
    assert plan.status.state is State.ERROR and "start the cluster again" in plan.status.message


def test_every_edge_is_taken_by_a_user_or_by_the_loop() -> None:
    by_loop = {(case.state, decide(case.facts, NOW).status.state) for case in CASES if case.coherent}
    taken = BY_USERS | {(before, after) for before, after in by_loop if before is not after}
    assert taken == {(before, after) for before, row in EDGES.items() for after in row}


class Ideal:
    """An engine in which everything succeeds at the second look."""

    def __init__(self, facts: Facts) -> None:
        self.seen = dict(facts.seen)
        self.applied: list[InstanceId] = []

    def perform(self, plan: Plan) -> None:
        for row in plan.destroy:
            self.seen[row.id] = samples.absent(row.id)
        if plan.apply is not None:
            run = plan.apply.id
            if not self.seen[run].present:
                self.applied.append(run)
                self.seen[run] = samples.starting(run)
            elif self.seen[run].failure is None:
                self.seen[run] = samples.complete(run)


def record(facts: Facts, plan: Plan, engine: Ideal) -> Facts:
    """What the reconciler writes down, and what the next look sees."""
    ended = {row.id for row in plan.ended}
    stored = replace(facts.cluster, state=plan.status.state, message=plan.status.message)
    if stored.state is State.STOPPED:
        stored = replace(stored, instance=None)
    return Facts(stored, tuple(row for row in facts.instances if row.id not in ended), engine.seen)


def rest(case: Case) -> tuple[list[State], Facts, Plan, Ideal]:
    """Look again and again until a look changes nothing; the states on the way, and where it ends."""
    facts, engine = case.facts, Ideal(case.facts)
    states = [case.state]
    for _ in range(12):
        plan = decide(facts, NOW)
        engine.perform(plan)
        following = record(facts, plan, engine)
        states.append(plan.status.state)
        if plan.purge:
            return states, following, plan, engine
        if not plan.destroy and not plan.ended and following.cluster == facts.cluster and plan.again in (None, GLANCE):
            return states, following, plan, engine
        facts = following
    raise AssertionError(f"{case} does not come to rest: {states}")


def test_everything_comes_to_rest_along_the_edges() -> None:
    for case in CASES:
        states, facts, plan, engine = rest(case)
        for before, after in pairwise(states):
            assert may(before, after), case
        assert len(engine.applied) == len(set(engine.applied)), case
        left = [run for run, seen in engine.seen.items() if seen.present]
        if plan.purge or facts.cluster.state is State.STOPPED:
            assert not left and not [row for row in facts.instances if row not in plan.ended], case
        match case.wanted:
            case Wanted.RUNNING:
                assert facts.cluster.state in (State.RUNNING, State.ERROR), case
                assert left in ([], [facts.cluster.instance]), case
            case Wanted.STOPPED:
                assert facts.cluster.state is State.STOPPED, case
            case Wanted.DELETED:
                assert plan.purge, case


@pytest.mark.parametrize("present", [name for name in PRESENT if name not in ("none", "failed")])
@pytest.mark.parametrize("former", FORMER)
def test_a_start_ends_in_running(present: str, former: str) -> None:
    states, facts, _, engine = rest(Case(State.STARTING, Wanted.RUNNING, present, False, former))
    assert states[-1] is State.RUNNING and State.ERROR not in states
    assert [run for run, seen in engine.seen.items() if seen.present] == [facts.cluster.instance]


def test_a_way_of_several_edges_is_gone_step_by_step() -> None:
    plan = decide(Case(State.RUNNING, Wanted.STOPPED, "none", False, "none").facts, NOW)
    assert plan.status.state is State.STOPPING is toward(State.RUNNING, State.STOPPED)
    assert plan.again is not None and not plan.again
