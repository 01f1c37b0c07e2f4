"""Which logs of nodes are kept when an instance ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.control.node_log_choice import SMALLEST, NodeLogLimits, choose
from heliostat.domain.engine import NodeLog
from heliostat.domain.ids import NodeId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKER = "worker-0c3f9e0d1b-01000000-4711"


def a_log(name: str, size: int = 10, *, age: float = 0, node: str = "n") -> NodeLog:
    return NodeLog(NodeId(node), name, size, NOW - timedelta(seconds=age))


@pytest.mark.parametrize(
    "name",
    [
        "shim.log",
        "shim.1.log",
        "raylet.out",
        "raylet.err",
        "raylet.out.3",
        "raylet.1.out",
        "gcs_server.out",
        "ray_process_exit.log",
        "runtime_env_setup-01000000.log",
        "runtime_env_setup-ray_client_server_23000.log",
        "runtime_env_agent.log",
        "runtime_env_agent.out",
        "dashboard.log",
        "dashboard.err",
        "dashboard_JobHead.log",
        "dashboard_agent.log",
        "agent-424238335.err",
        "monitor.log",
        "monitor.out",
        "ray_client_server.err",
        "ray_client_server_23000.err",
        "log_monitor.log",
        f"{WORKER}.err",
        f"{WORKER}.out",
        "python-core-worker-0c3f9e0d1b_4711.log",
        "python-core-driver-01000000ffff_4711.log",
        "serve/replica_app#deployment#ab12.log",
        "job-driver-raysubmit_Ab12Cd34Ef56Gh78.log",
        "job-driver-my-own-id.log",
    ],
)
def test_kept(name: str) -> None:
    assert [row.log.name for row in choose([a_log(name)]).files] == [name]


@pytest.mark.parametrize(
    "name",
    [
        "events/event_GCS.log",
        "export_events/event_EXPORT_SUBMISSION_JOB.log",
        "old/raylet.out",
        "debug_state.txt",
        "nsight/a.nsys-rep",
        "job-driver-rj-0123456789abcdef.log",
        "job-driver-rj-0123456789abcdef-2.log",
        "my notes.txt",
        "raylet.out\\..\\x",
    ],
)
def test_not_kept(name: str) -> None:
    assert choose([a_log(name)]).files == ()
    assert choose([a_log(name)]).left_out == 0


def test_empty_ones_are_not_kept() -> None:
    assert choose([a_log("raylet.out", 0)]).files == ()


def test_the_most_telling_first_then_the_newest() -> None:
    logs = [
        a_log(f"{WORKER}.out"),
        a_log(f"{WORKER}.err"),
        a_log("dashboard.log"),
        a_log("raylet.out", age=5, node="a"),
        a_log("raylet.out", age=1, node="b"),
        a_log("runtime_env_setup-01000000.log"),
    ]
    assert [(row.log.node, row.log.name) for row in choose(logs).files] == [
        ("b", "raylet.out"),
        ("a", "raylet.out"),
        ("n", "runtime_env_setup-01000000.log"),
        ("n", "dashboard.log"),
        ("n", f"{WORKER}.err"),
        ("n", f"{WORKER}.out"),
    ]


def test_of_a_long_one_the_end() -> None:
    (found,) = choose([a_log("raylet.out", 30 << 20)]).files
    assert found.begin == 22 << 20
    assert found.note == "only the last 8.0 MiB of 30.0 MiB are kept"


def test_a_short_one_is_kept_whole_and_says_nothing() -> None:
    (found,) = choose([a_log("raylet.out", 8 << 20)]).files
    assert (found.begin, found.note) == (0, "")


def test_what_is_left_out_is_counted() -> None:
    choice = choose([a_log(f"worker-{n}.out") for n in range(700)])
    assert (len(choice.files), choice.left_out) == (500, 200)


def test_where_little_room_is_left_small_files_still_find_it() -> None:
    logs = [a_log("raylet.out", 100 << 10), a_log("dashboard.log", 90 << 10), a_log("monitor.log", 1 << 10)]
    choice = choose(logs, NodeLogLimits(bytes=102 << 10))
    assert [row.log.name for row in choice.files] == ["raylet.out", "monitor.log"]
    assert choice.left_out == 1


@given(
    st.lists(st.tuples(st.sampled_from(["raylet.out", "gcs_server.err", "events/x.log"]), st.integers(0, 1 << 22))),
    st.builds(NodeLogLimits, st.integers(1, 1 << 20), st.integers(0, 1 << 22), st.integers(0, 20)),
)
def test_the_bounds_hold(rows: list[tuple[str, int]], limits: NodeLogLimits) -> None:
    logs = [a_log(name, size, node=str(number)) for number, (name, size) in enumerate(rows)]
    choice = choose(logs, limits)
    kept = [row.log.size - row.begin for row in choice.files]
    assert sum(kept) <= limits.bytes
    assert len(kept) <= limits.files
    assert all(0 < size <= limits.file_bytes for size in kept)
    assert all(row.begin == 0 or row.note for row in choice.files)
    matter = sum(size > 0 and not name.startswith("events") for name, size in rows)
    assert len(kept) + choice.left_out == matter
    assert (
        choice.left_out == 0 or len(kept) == limits.files or limits.bytes - sum(kept) < max(SMALLEST, limits.file_bytes)
    )
