"""What nodes take: by the table, and what must hold whatever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.engine import GpuType, NodeObservation, NodeState
from heliostat.domain.ids import InstanceId, JobId, NodeId
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.jobs import Attempt, Job, JobSpec, Usage
from heliostat.domain.quantities import GIB
from heliostat.domain.records import Instance
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.usage import usage, usage_of_job

from .samples import ANN, CLUSTER, NOW, WORKSPACE, instance

HOUR = timedelta(hours=1)
GPUS = {"two": GpuType("two", "T4", 2)}
HEAD = NodeShape("q", Decimal(2), 4 * GIB)
LARGE = NodeShape("q", Decimal("1.5"), 64 * GIB, "two")
SPEC = ClusterSpec(
    "c", "r", HEAD, (WorkerGroup("large", LARGE), WorkerGroup("unknown gpu", replace(LARGE, gpu="lost")))
)
STORED = Usage(1, 2, 3, 4, 5, 6)


def node(
    group: str, *, state: NodeState = NodeState.ALIVE, started: timedelta | None = timedelta(0)
) -> NodeObservation:
    """Wanted at NOW; alive since ``started`` later."""
    kind = "head" if group == "head" else "worker"
    return NodeObservation(NodeId(group), kind, group, state, NOW, None if started is None else NOW + started)


TABLE: dict[str, tuple[list[NodeObservation], Usage]] = {
    "nothing": ([], Usage()),
    "a head: cores count": ([node("head")], Usage(7200, 4, 8, 0, 4, 1)),
    "a large worker: memory counts, a CU is a core with 4 GiB": ([node("large")], Usage(7200, 3, 128, 4, 32, 1)),
    "both": ([node("head"), node("large")], Usage(14400, 7, 136, 4, 36, 2)),
    "a later one": ([node("head", started=HOUR)], Usage(3600, 2, 4, 0, 2, 1)),
    "one from before": ([node("head", started=-HOUR)], Usage(7200, 4, 8, 0, 4, 1)),
    "one from after": ([node("head", started=3 * HOUR)], Usage(0, 0, 0, 0, 0, 1)),
    "on its way": ([node("head", state=NodeState.STARTING, started=None)], Usage(7200, 4, 8, 0, 4, 1)),
    "only wanted": ([node("head", state=NodeState.PENDING, started=None)], Usage()),
    "of a group that is gone": ([node("gone")], Usage()),
    "a GPU that is in no catalogue": ([node("unknown gpu")], Usage(7200, 3, 128, 0, 32, 1)),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_two_hours(case: str) -> None:
    nodes, expected = TABLE[case]
    assert usage(SPEC, nodes, NOW, NOW + 2 * HOUR, GPUS) == expected


shapes = st.builds(
    NodeShape,
    st.just("q"),
    st.decimals(Decimal("0.1"), 128, places=2),
    st.integers(1 << 20, 1 << 40),
    st.sampled_from([None, "two"]),
)
spans = st.timedeltas(timedelta(0), timedelta(days=30))


@st.composite
def clusters(draw: st.DrawFn) -> tuple[ClusterSpec, list[NodeObservation]]:
    groups = tuple(WorkerGroup(f"g{number}", shape) for number, shape in enumerate(draw(st.lists(shapes, max_size=3))))
    names = st.sampled_from(["head", *(group.name for group in groups)])
    started = st.one_of(st.none(), spans)
    nodes = st.builds(
        lambda name, state, at: node(name, state=state, started=at), names, st.sampled_from(NodeState), started
    )
    return ClusterSpec("c", "r", draw(shapes), groups), draw(st.lists(nodes, max_size=5))


@given(clusters(), spans, spans)
def test_it_is_additive_and_never_less(
    made: tuple[ClusterSpec, Sequence[NodeObservation]], first: timedelta, second: timedelta
) -> None:
    spec, nodes = made
    middle, end = NOW + first, NOW + first + second
    early, late = usage(spec, nodes, NOW, middle, GPUS), usage(spec, nodes, middle, end, GPUS)
    whole = usage(spec, nodes, NOW, end, GPUS)
    for name in ("node_seconds", "cpu_hours", "memory_gib_hours", "gpu_hours", "cu_hours"):
        assert getattr(early, name) + getattr(late, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-9)
        assert 0 <= getattr(early, name) <= getattr(whole, name) + 1e-9
    assert whole.cu_hours >= whole.cpu_hours * (1 - 1e-12)
    assert whole.cu_hours >= whole.memory_gib_hours / 4 * (1 - 1e-12)
    assert whole.peak_nodes <= len(nodes)


def a_job(run: Instance, *, temporary: bool, **changes: object) -> Job:
    spec = JobSpec("j", "true", run.spec, None if temporary else CLUSTER)
    attempt = Attempt(1, "rj-1", run.id, "", NOW)
    job = Job(
        JobId("rj-1"), WORKSPACE, spec, JobStatus.RUNNING, "runs", JobGoal.RUN, CLUSTER, JobClusterState.RUNNING, ANN,
        "ann", NOW, attempts=(attempt,), usage=STORED,
    )  # fmt: skip
    return replace(job, **changes)  # type: ignore[arg-type]


RUN = replace(instance("aaaaaaaa"), spec=SPEC, nodes=(node("head"),))
LATER = NOW + 3 * HOUR
JOBS: dict[str, tuple[Job, Instance | None, float]] = {
    "temporary: what was stored; the rest is in the ledger": (a_job(RUN, temporary=True), RUN, STORED.cu_hours),
    "existing: nothing before the start": (a_job(RUN, temporary=False, usage=Usage()), RUN, 0),
    "existing: while it runs": (a_job(RUN, temporary=False, started_at=NOW + HOUR), RUN, 4),
    "existing: not after its end": (a_job(RUN, temporary=False, started_at=NOW, ended_at=NOW + HOUR), RUN, 2),
    "existing: what was stored, once it is settled": (
        a_job(RUN, temporary=False, started_at=NOW, ended_at=NOW + HOUR, settled=True), RUN, STORED.cu_hours,
    ),
    "existing: another run than its own": (
        a_job(RUN, temporary=False, started_at=NOW), replace(RUN, id=InstanceId(f"{CLUSTER}-bbbbbbbb")), STORED.cu_hours,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", JOBS)
def test_what_is_counted_to_a_job(case: str) -> None:
    job, run, cu_hours = JOBS[case]
    assert usage_of_job(job, run, LATER, GPUS).cu_hours == cu_hours


def test_seconds_of_a_run() -> None:
    def seconds(started: datetime | None, ended: datetime | None) -> float:
        return a_job(RUN, temporary=True, started_at=started, ended_at=ended).run_seconds(LATER)

    assert seconds(None, None) == seconds(None, NOW) == 0
    assert seconds(NOW, None) == 3 * 3600
    assert seconds(NOW, NOW + HOUR) == 3600
    assert seconds(LATER + HOUR, None) == 0, "clocks of two machines may differ"


def test_usage_of_two_runs_is_added_up() -> None:
    assert (STORED + STORED).node_seconds == 2 and (STORED + STORED).peak_nodes == STORED.peak_nodes
