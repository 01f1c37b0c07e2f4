"""An execution without values, storage or clusters: what decides and what writes down, on runs of which a test says how they end.

It may be killed between any two things that it does. What was saved stays, and so do the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from heliostat.dialects.flyte.admin.references import Reference
from heliostat.dialects.flyte.executions import applied
from heliostat.dialects.flyte.executions.decide import (
    BeginAttempt,
    BeginNode,
    FinishNode,
    Step,
    StopAttempt,
    decide,
)
from heliostat.dialects.flyte.executions.graph import Arm, ArrayShape, Graph, Kind, Node, Scope
from heliostat.dialects.flyte.executions.phases import ExecutionPhase, NodePhase
from heliostat.dialects.flyte.executions.state import Abort, Fault, State
from heliostat.dialects.flyte.runs.phases import Phase, RunView
from heliostat.domain.ids import JobId

START = datetime(2026, 1, 1, tzinfo=UTC)
Place = tuple[str, int, int]
"""Node, element, number of the attempt."""


class Killed(Exception):
    """The server is gone."""


def node(id: str, *after: str, kind: Kind = Kind.TASK, parent: str = "", attempts: int = 1, **more: object) -> Node:
    return Node(
        id, id, id, kind, parent, "", tuple(after), (), {}, task=Reference("p", "d", id, "v"), attempts=attempts, **more
    )  # type: ignore[arg-type]


def graph(*nodes: Node, fail_at_once: bool = True) -> Graph:
    children: dict[str, tuple[str, ...]] = {"": ()}
    for one in nodes:
        children[one.parent] = (*children.get(one.parent, ()), one.id)
    scopes = {"": Scope({}, (), fail_at_once)}
    scopes |= {one.id: Scope({}, (), fail_at_once) for one in nodes if one.kind is Kind.WORKFLOW}
    return Graph({one.id: one for one in nodes}, children, scopes)


def branch(id: str, *after: str, arms: int = 2, parent: str = "") -> list[Node]:
    """With arms ``<id>-0``, ``<id>-1``, which are tasks."""
    names = [f"{id}-{index}" for index in range(arms)]
    way = node(id, *after, kind=Kind.BRANCH, parent=parent, arms=tuple(Arm(None, name) for name in names))
    return [way, *(node(name, parent=id) for name in names)]


def array(id: str, *after: str, **shape: object) -> Node:
    return node(id, *after, kind=Kind.ARRAY, array=ArrayShape(**shape))  # type: ignore[arg-type]


@dataclass
class Machine:
    graph: Graph
    outcome: Callable[[Place], Phase] = lambda place: Phase.SUCCEEDED
    """How a run ends when it is let."""
    arms: Mapping[str, int | None] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    limit: int = 25
    kill_after: Iterable[int] = ()
    """Numbers of the things after which the server is killed, counted from the start."""
    saved: State = field(default_factory=lambda: State(ExecutionPhase.QUEUED, START, START))
    now: datetime = START
    runs: dict[Place, RunView] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    made: list[Place] = field(default_factory=list)
    done: int = 0
    finals: int = 0

    def look(self) -> bool:
        """One look, again where the server was killed; whether it came to its end without that."""
        try:
            self._look()
            return True
        except Killed:
            return False

    def settle(self) -> None:
        for _ in range(1000):
            if self.look():
                return
        raise AssertionError("it never comes to rest")

    def _look(self) -> None:
        views: dict[str, RunView | None] = {view.id: view for view in self.runs.values()}
        state = self.saved
        for _ in range(1000):
            self.now += timedelta(seconds=1)
            plan = decide(self.graph, state, views, self.now, self.limit)
            if plan.state != state:
                self._save(state := plan.state)
            if not plan.steps:
                assert decide(self.graph, state, {}, self.now, self.limit).steps == (), "the same state asks for more"
                return
            for step in plan.steps:
                state = self._perform(step, state)
            self._save(state)
        raise AssertionError("a look never ends")

    def _save(self, state: State) -> None:
        assert not self.saved.phase.final, "an execution that had ended goes on"
        self.saved = state
        self.finals += state.phase.final
        self._kill()

    def _perform(self, step: Step, state: State) -> State:
        match step:
            case BeginNode(id):
                made = self.graph.nodes[id]
                arm = self.arms.get(id, 0) if made.kind is Kind.BRANCH else None
                if made.kind is Kind.BRANCH and arm is None:
                    return applied.node_failed(state, id, self.now, Fault("BranchFailed", "no", node=id))
                size = self.sizes.get(id, 0) if made.kind is Kind.ARRAY else None
                return applied.node_begun(self.graph, state, id, self.now, arm=arm, size=size)
            case BeginAttempt(id, element, number):
                return applied.attempt_begun(state, step, self._run((id, element, number)).id, self.now)
            case StopAttempt(id, element, number):
                run = self._run((id, element, number)).id
                self.stopped.add(run)
                self._kill()
                return applied.attempt_stopping(state, step, run, self.now)
            case FinishNode(id):
                return applied.node_finished(state, id, self.now)
            case _:
                return applied.execution_finished(state, self.now)

    def _run(self, place: Place) -> RunView:
        """Idempotent, as runs are."""
        if place not in self.runs:
            self.made.append(place)
            self.runs[place] = RunView(
                JobId(f"rj-{'.'.join(map(str, place))}"), Phase.RUNNING, "runs", started_at=self.now
            )
            self._kill()
        return self.runs[place]

    def _kill(self) -> None:
        self.done += 1
        if self.done in self.kill_after:
            raise Killed

    # --- the world ------------------------------------------------------------------------------------------------------

    def live(self) -> list[Place]:
        return [place for place, view in self.runs.items() if not view.settled]

    def end(self, place: Place, phase: Phase | None = None) -> None:
        """Let a run come to its end: stopped when that was asked for."""
        view = self.runs[place]
        found = Phase.ABORTED if view.id in self.stopped else (phase or self.outcome(place))
        self.runs[place] = RunView(
            view.id, found, "over", "" if found is Phase.SUCCEEDED else "Code", ended_at=self.now
        )

    def abort(self) -> None:
        if not self.saved.phase.final:
            self.saved = replace(self.saved, abort=Abort("enough", "anna", self.now))

    def run_out(self, choose: Callable[[list[Place]], Place] = lambda live: live[0]) -> State:
        """Until nothing goes on any more."""
        self.settle()
        while live := self.live():
            self.end(choose(live))
            self.settle()
        return self.saved

    def phases(self) -> dict[str, NodePhase]:
        return {id: state.phase for id, state in self.saved.nodes.items()}
