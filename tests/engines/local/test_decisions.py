"""The rules of the supervisor, case by case, without any process."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from heliostat.domain.engine import InstancePlan
from heliostat.domain.releases import Release
from heliostat.engines.local import LocalSettings
from heliostat.engines.local.actions import (
    Add,
    AwaitTurn,
    EndProcess,
    Fail,
    Leave,
    Prepare,
    Replace,
    Revive,
    Start,
)
from heliostat.engines.local.decisions import POLL_SECONDS, decide, trouble
from heliostat.engines.local.facts import Facts, Seen
from heliostat.engines.local.losses import pause
from heliostat.engines.local.records import InstanceRecord, NodeRecord
from heliostat_node.protocol import NodeStatus

from ..conformance import plan

NOW = 1_000_000.0
RULES = LocalSettings(Path("/nowhere"))
PLAN = plan(workers=2)
OLD_RAY = dataclasses.replace(PLAN, release=Release("ray-1.0.1", "2.47.1", "3.11"))


def status(phase: str = "registered", reason: str = "") -> NodeStatus:
    ready = NOW - 50 if phase == "registered" else 0.0
    return NodeStatus("i", "n", 1, 1, phase, dashboard_ready_at=ready, exit_reason=reason)  # type: ignore[arg-type]


ALIVE = Seen(True, status())
STARTING = Seen(True, status("starting"))
SILENT = Seen(True)
KILLED = Seen(False, status())
EXITED = Seen(False, status("exited", "It had enough."))
VANISHED = Seen(False)


def head(**changes: object) -> NodeRecord:
    return dataclasses.replace(
        NodeRecord("h", "head", "head", "h", NOW - 100, launched_at=NOW - 90, alive_at=NOW - 80),
        **changes,  # type: ignore[arg-type]
    )


def worker(name: str, **changes: object) -> NodeRecord:
    return dataclasses.replace(
        NodeRecord(name, "worker", "small", name, NOW - 100, launched_at=NOW - 90, alive_at=NOW - 80),
        **changes,  # type: ignore[arg-type]
    )


def facts(
    *pairs: tuple[NodeRecord, Seen | None], plan: InstancePlan = PLAN, up: bool = True, **changes: object
) -> Facts:
    record = InstanceRecord(
        plan.instance,
        NOW - 100,
        nodes=tuple(node for node, _ in pairs),
        started_at=NOW - 90,
        up_at=NOW - 70 if up else 0.0,
    )
    plain = Facts(plan, record, {node.node: seen for node, seen in pairs if seen is not None}, True, "", True, NOW)
    ours = {name: value for name, value in changes.items() if name in {"losses", "failure", "started_at"}}
    rest = {name: value for name, value in changes.items() if name not in ours}
    return dataclasses.replace(
        plain,
        record=dataclasses.replace(record, **ours),  # type: ignore[arg-type]
        **rest,  # type: ignore[arg-type]
    )


ALL_WELL = ((head(), ALIVE), (worker("a"), ALIVE), (worker("b"), ALIVE))


def waiting(node: NodeRecord, not_before: float = 0.0) -> NodeRecord:
    return dataclasses.replace(node, launched_at=0.0, alive_at=0.0, not_before=not_before)


class TestStart:
    def test_places_are_made_for_every_wanted_node(self) -> None:
        assert decide(facts(up=False), RULES).steps == (Add("head", "head", 1), Add("worker", "small", 2))

    def test_environments_come_first(self) -> None:
        new = facts((waiting(head()), None), plan=plan(workers=0), up=False, environment_ready=False, turn=False)
        assert decide(new, RULES).steps == (Prepare(),)

    def test_an_environment_that_cannot_be_had_is_the_end_of_the_start(self) -> None:
        new = facts((waiting(head()), None), plan=plan(workers=0), up=False, environment_failure="no index")
        assert decide(new, RULES).steps == (Fail("no index"),)

    def test_the_same_later_is_only_trouble(self) -> None:
        later = facts(
            (head(), ALIVE), (waiting(worker("a")), None), plan=plan(workers=1), environment_failure="no index"
        )
        assert decide(later, RULES).steps == ()
        assert trouble(later) == "no index"

    def test_then_a_turn(self) -> None:
        new = facts((waiting(head()), None), plan=plan(workers=0), up=False, turn=False)
        assert decide(new, RULES).steps == (AwaitTurn(),)

    def test_then_head_and_workers_at_once_and_a_quick_look(self) -> None:
        new = facts(*((waiting(node), None) for node, _ in ALL_WELL), up=False)
        decision = decide(new, RULES)
        assert decision.steps == (Start("h"), Start("a"), Start("b"))
        assert decision.again == POLL_SECONDS

    @pytest.mark.parametrize("seen", [STARTING, SILENT])
    def test_while_something_starts_looks_are_frequent(self, seen: Seen) -> None:
        decision = decide(facts((head(), ALIVE), (worker("a"), seen), (worker("b"), ALIVE), up=False), RULES)
        assert (decision.steps, decision.again) == ((), POLL_SECONDS)

    def test_a_start_that_is_too_long_fails_and_names_what_is_missing(self) -> None:
        late = facts((head(), ALIVE), (worker("a"), STARTING), (worker("b"), ALIVE), up=False, started_at=NOW - 301)
        (step,) = decide(late, RULES).steps
        assert isinstance(step, Fail)
        assert "worker a of group small" in step.message
        assert step.node == "a"

    def test_an_instance_that_was_up_has_no_deadline(self) -> None:
        assert decide(facts(*ALL_WELL, started_at=NOW - 9999), RULES).steps == ()


class TestQuiet:
    def test_all_well_is_left_alone(self) -> None:
        decision = decide(facts(*ALL_WELL), RULES)
        assert (decision.steps, decision.again) == ((), None)
        assert trouble(facts(*ALL_WELL)) == ""

    def test_a_node_that_backs_off_is_looked_at_when_it_is_time(self) -> None:
        decision = decide(facts((head(), ALIVE), (worker("a"), ALIVE), (waiting(worker("b"), NOW + 7), None)), RULES)
        assert (decision.steps, decision.again) == ((), 7.0)


class TestWorkers:
    @pytest.mark.parametrize(
        ("seen", "reason", "message"),
        [
            (KILLED, "Killed", "was killed"),
            (EXITED, "Exited", "It had enough."),
            (VANISHED, "StartFailed", "before it could say why"),
        ],
    )
    def test_a_lost_one_is_replaced_at_once(self, seen: Seen, reason: str, message: str) -> None:
        (step,) = decide(facts((head(), ALIVE), (worker("a"), seen), (worker("b"), ALIVE)), RULES).steps
        assert isinstance(step, Replace)
        assert (step.node, step.reason, step.not_before) == ("a", reason, NOW)
        assert message in step.message

    def test_the_next_ones_wait_longer(self) -> None:
        lost = facts((head(), ALIVE), (worker("a"), KILLED), (worker("b"), ALIVE), losses={"worker/small": 3})
        (step,) = decide(lost, RULES).steps
        assert isinstance(step, Replace)
        assert step.not_before == NOW + 4

    def test_a_calm_life_forgets_earlier_losses(self) -> None:
        old = worker("a", alive_at=NOW - 301)
        lost = facts((head(), ALIVE), (old, KILLED), (worker("b"), ALIVE), losses={"worker/small": 3})
        (step,) = decide(lost, RULES).steps
        assert isinstance(step, Replace)
        assert step.not_before == NOW

    @pytest.mark.parametrize(("before", "fails"), [(2, False), (3, True)])
    def test_too_many_losses_while_starting_are_a_failure(self, before: int, fails: bool) -> None:
        lost = facts(
            (head(), ALIVE), (worker("a"), EXITED), (worker("b"), ALIVE),
            up=False, losses={"worker/small": before},
        )  # fmt: skip
        (step,) = decide(lost, RULES).steps
        assert isinstance(step, Fail) == fails

    def test_after_the_start_no_number_of_losses_is_a_failure(self) -> None:
        lost = facts((head(), ALIVE), (worker("a"), EXITED), (worker("b"), ALIVE), losses={"worker/small": 50})
        (step,) = decide(lost, RULES).steps
        assert isinstance(step, Replace)
        assert step.not_before == NOW + RULES.back_off_limit.total_seconds()


class TestHead:
    def test_a_lost_one_comes_back(self) -> None:
        (step,) = decide(facts((head(), KILLED), (worker("a"), ALIVE), (worker("b"), ALIVE)), RULES).steps
        assert isinstance(step, Revive)

    def test_it_and_a_worker_may_go_together(self) -> None:
        steps = decide(facts((head(), KILLED), (worker("a"), KILLED), (worker("b"), ALIVE)), RULES).steps
        assert [type(step) for step in steps] == [Revive, Replace]

    def test_without_storage_that_is_the_end(self) -> None:
        (step,) = decide(facts((head(), KILLED), *ALL_WELL[1:], plan=OLD_RAY), RULES).steps
        assert isinstance(step, Fail)

    @pytest.mark.parametrize("died", [head(alive_at=0.0), head(), head(alive_at=0.0, restarts=1)])
    def test_unless_the_instance_never_was_up(self, died: NodeRecord) -> None:
        (step,) = decide(facts((died, EXITED), *ALL_WELL[1:], plan=OLD_RAY, up=False), RULES).steps
        assert isinstance(step, Revive)

    def test_too_many_losses_are_the_end(self) -> None:
        tries = {"head/head": RULES.head_tries}
        (step,) = decide(facts((head(), KILLED), *ALL_WELL[1:], losses=tries), RULES).steps
        assert isinstance(step, Fail)
        assert "given up" in step.message

    def test_so_is_an_absence_that_the_workers_do_not_survive(self) -> None:
        gone = head(alive_at=0.0, restarts=1, down_since=NOW - 241)
        (step,) = decide(facts((gone, EXITED), *ALL_WELL[1:]), RULES).steps
        assert isinstance(step, Fail)
        assert "240 seconds" in step.message


class TestScale:
    def test_fewer_take_the_one_that_is_not_running_yet(self) -> None:
        more = facts(
            (head(), ALIVE), (worker("a"), ALIVE), (waiting(worker("b")), None), (worker("c"), ALIVE), plan=PLAN
        )
        assert decide(more, RULES).steps == (Leave(("b",), "small", "2 wanted"),)

    def test_else_the_youngest(self) -> None:
        more = facts(
            (head(), ALIVE), (worker("a"), ALIVE), (worker("b", created_at=NOW - 5), ALIVE), plan=plan(workers=1)
        )
        assert decide(more, RULES).steps == (Leave(("b",), "small", "1 wanted"),)

    def test_more_are_added(self) -> None:
        assert decide(facts(*ALL_WELL, plan=plan(workers=5)), RULES).steps == (Add("worker", "small", 3),)


def test_a_failed_instance_only_ends_what_still_runs() -> None:
    failed = facts((head(), VANISHED), (worker("a"), ALIVE), (worker("b"), KILLED), failure="broken")
    assert decide(failed, RULES).steps == (EndProcess("a"),)


def test_pauses_double_up_to_a_limit() -> None:
    assert [pause(losses, RULES) for losses in (1, 2, 3, 4, 9, 99, 9999)] == [0, 1, 2, 4, 60, 60, 60]
