"""What the local engine says of specs that it cannot honour literally."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from heliostat.domain.engine import Verdict
from heliostat.domain.releases import Catalogue, Release
from heliostat.domain.spec import Autoscaling, ClusterSpec, FaultTolerance, NodeShape, WorkerGroup
from heliostat.engines.local.limits import Machine
from heliostat.engines.local.support import findings

from ..conformance import GIB

CATALOGUE = Catalogue()
NEW, NEW_312 = CATALOGUE.default_release, Release("ray-1.3.0", "2.60.0", "3.12")
OLD = Release("ray-1.0.1", "2.47.1", "3.11")
MACHINE = Machine(cores=8, memory_bytes=32 * GIB, shared_memory_bytes=32 * GIB)
SHAPE = NodeShape("root_queue", Decimal(1), 4 * GIB)
PLAIN = ClusterSpec("c", NEW.display, SHAPE, (WorkerGroup("small", SHAPE, 2),))


def with_head(**changes: object) -> ClusterSpec:
    return dataclasses.replace(PLAIN, head=dataclasses.replace(SHAPE, **changes))  # type: ignore[arg-type]


def with_worker(**changes: object) -> ClusterSpec:
    shape = dataclasses.replace(SHAPE, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(PLAIN, workers=(WorkerGroup("small", shape, 2),))


def spec(**changes: object) -> ClusterSpec:
    return dataclasses.replace(PLAIN, **changes)  # type: ignore[arg-type]


TOLERANT = FaultTolerance(enabled=True, redis_url="redis://r")
MAPPED, IGNORED, REFUSED = Verdict.MAPPED, Verdict.IGNORED, Verdict.REFUSED


@pytest.mark.parametrize(
    ("given", "path", "verdict", "word"),
    [
        (with_head(cpu=Decimal(16)), "head.cpu", MAPPED, "this machine has 8"),
        (with_worker(cpu=Decimal("0.5")), "workers[0].cpu", MAPPED, "counts as 1"),
        (with_worker(cpu=Decimal(4)), "workers", MAPPED, "9 cores together"),
        (with_head(memory=40 * GIB, ray_start_params="--object-store-memory=99999999"), "head.memory", MAPPED, "32Gi"),
        (with_head(gpu="t4"), "head.gpu", MAPPED, "no GPU"),
        (with_head(env={"RAY_AUTH_TOKEN": "x"}), "head.env.RAY_AUTH_TOKEN", REFUSED, "remove it"),
        (with_head(env={"RAY_ADDRESS": "x"}), "head.env.RAY_ADDRESS", REFUSED, "remove it"),
        (with_worker(env={"HELIOSTAT_X": "x"}), "workers[0].env.HELIOSTAT_X", REFUSED, "remove it"),
        (with_head(env={"RAY_USAGE_STATS_ENABLED": "1"}), "head.env.RAY_USAGE_STATS_ENABLED", IGNORED, "itself"),
        (with_head(ray_start_params="--port=1"), "head.ray_start_params", REFUSED, "--port"),
        (with_worker(ray_start_params="--no-monitor"), "workers[0].ray_start_params", REFUSED, "head node only"),
        (
            with_head(ray_start_params=f"--object-store-memory={64 * GIB}"),
            "head.ray_start_params", MAPPED, "at most 16Gi",
        ),
        (with_worker(release=NEW_312.display), "workers[0].release", REFUSED, "same Python"),
        (with_worker(release=OLD.display), "workers[0].release", REFUSED, "same Ray"),
        (
            spec(autoscaling=Autoscaling(enabled=True), workers=(WorkerGroup("small", SHAPE, 2, 0, 500),)),
            "workers", MAPPED, "further ones wait",
        ),
        (
            dataclasses.replace(with_head(ray_start_params="--no-monitor"), autoscaling=Autoscaling(enabled=True)),
            "head.ray_start_params", REFUSED, "--no-monitor",
        ),
        (spec(fault_tolerance=TOLERANT), "fault_tolerance", MAPPED, "embedded storage"),
        (spec(fault_tolerance=TOLERANT, release=OLD.display), "fault_tolerance", IGNORED, "ends with its head"),
        (spec(network_service="loopback"), "network_service", IGNORED, "loopback"),
        (spec(volumes=("data",)), "volumes[0]", MAPPED, "HELIOSTAT_VOLUME_DATA"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_field_that_is_not_honoured_literally_is_reported(
    given: ClusterSpec, path: str, verdict: Verdict, word: str
) -> None:
    found = findings(given, MACHINE, CATALOGUE)
    assert [(finding.path, finding.verdict) for finding in found if finding.path == path] == [(path, verdict)]
    assert word in next(finding.message for finding in found if finding.path == path)


@pytest.mark.parametrize(
    "given",
    [
        PLAIN,
        with_worker(release=NEW.display),
        with_head(env={"MY_OWN": "x", "OMP_NUM_THREADS": "1"}, ray_start_params="--num-cpus=0"),
        spec(fault_tolerance=FaultTolerance(enabled=False)),
        spec(labels={"a": "b"}, description="d"),
        spec(autoscaling=Autoscaling(enabled=True), workers=(WorkerGroup("small", SHAPE, 1, 0, 4),)),
    ],
)
def test_what_is_honoured_has_no_finding(given: ClusterSpec) -> None:
    assert findings(given, MACHINE, CATALOGUE) == []


@pytest.mark.parametrize(("replicas", "refused"), [(170, False), (200, True)])
def test_more_nodes_than_the_machine_can_hold_at_rest_are_refused(replicas: int, refused: bool) -> None:
    """Started, they would take the memory of everything else that runs on the machine."""
    given = spec(workers=(WorkerGroup("small", SHAPE, replicas // 2), WorkerGroup("more", SHAPE, replicas // 2)))
    found = [row.message for row in findings(given, MACHINE, CATALOGUE) if row.verdict is REFUSED]
    assert bool(found) == refused
    assert not refused or ("201 nodes" in found[0] and "32Gi" in found[0])


def test_a_gpu_of_a_machine_that_has_one_is_honoured() -> None:
    assert findings(with_head(gpu="t4"), dataclasses.replace(MACHINE, gpus=1), CATALOGUE) == []
