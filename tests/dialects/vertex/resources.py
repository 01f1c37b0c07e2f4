"""Bodies, clusters and runs for the tests of the translation, and the vendor's way to read an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from heliostat.dialects.vertex.translate.resource import Context, read_resource, write_resource
from heliostat.dialects.vertex.wire import canonical, schema
from heliostat.domain.engine import Endpoints, NodeObservation, NodeState
from heliostat.domain.ids import ClusterId, InstanceId, NodeId, PrincipalId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State, Wanted
from heliostat.services import ClusterView

Json = dict[str, Any]
AT = datetime(2026, 1, 1, tzinfo=UTC)
CLUSTER = ClusterId("ray-0123456789abcdef")
NAME = "projects/123456789012/locations/us-central1/persistentResources/c1"
OFFICIAL = ".".join(("us-docker", "pkg", "dev")) + "/vertex-ai/training/ray-"
CPU = f"{OFFICIAL}cpu.2-47.py311:latest"
GPU = f"{OFFICIAL}gpu.2-47.py311:latest"
RELEASE = "ray-1.0.1 (Ray 2.47.1, Python 3.11)"
DISK = {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100}
CONTEXT = Context(Installation(tls_place="localhost:8601", universe="localhost:8601"))
GIB = 1 << 30


def pool(id: str = "", machine: str = "n1-standard-4", count: int | None = 1, **more: Any) -> Json:
    shown: Json = {"machineSpec": {"machineType": machine}, **more}
    if id:
        shown["id"] = id
    if count is not None:
        shown["replicaCount"] = str(count)
    return shown


def scaling(least: int, most: int) -> Json:
    return {"autoscalingSpec": {"minReplicaCount": str(least), "maxReplicaCount": str(most)}}


def body(*pools: Json, ray: Json | None = None, **more: Any) -> Json:
    """A create body; with one image for all pools unless ``ray`` says otherwise."""
    spec = {"imageUri": CPU, "rayMetricSpec": {}, "rayLogsSpec": {}} if ray is None else ray
    return {"resourcePools": list(pools) or [pool()], "resourceRuntimeSpec": {"raySpec": spec}, **more}


SENT = {
    "resourcePools": [
        pool("head-node", "n1-standard-8", diskSpec=DISK),
        {
            "id": "worker-pool1",
            "machineSpec": {"machineType": "n1-standard-4", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
            "replicaCount": "2",
            "diskSpec": DISK,
        },
    ],
    "labels": {"a": "b"},
    "resourceRuntimeSpec": {
        "raySpec": {
            "resourcePoolImages": {"head-node": CPU, "worker-pool1": GPU}, "rayMetricSpec": {}, "rayLogsSpec": {}
        },
        "serviceAccountSpec": {"enableCustomServiceAccount": True, "serviceAccount": "ray@example.com"},
    },
}  # fmt: skip
"""What the vendor's client sends (contract, section 1.4)."""


def create(given: Json, context: Context = CONTEXT) -> ClusterSpec:
    return read_resource("c1", given, context)


def cluster_of(spec: ClusterSpec, **changes: Any) -> Cluster:
    cluster = Cluster(
        id=CLUSTER, workspace=WorkspaceId("w-1"), spec=spec, generation=1,
        wanted=Wanted.RUNNING, state=State.RUNNING, message="ok", modified=False, instance=None,
        creator=PrincipalId("1"), creator_name="ann", modifier=PrincipalId("2"), modifier_name="bob",
        created_at=AT, modified_at=AT + timedelta(seconds=5), started_at=AT + timedelta(seconds=1),
    )  # fmt: skip
    return replace(cluster, **changes)


def run_of(spec: ClusterSpec, alive: Mapping[str, int] | None = None, **changes: Any) -> Instance:
    """A run with its head and so many workers alive by group."""
    nodes = [_node("head", "head", 0)]
    nodes += [_node("worker", group, index) for group, count in (alive or {}).items() for index in range(count)]
    run = Instance(
        id=InstanceId(f"{CLUSTER}-00000000"), cluster=CLUSTER, workspace=WorkspaceId("w-1"), spec=spec, generation=1,
        created_at=AT, submit_token=Secret("s"), ray_token=Secret("r"), running_at=AT + timedelta(seconds=3),
        nodes=tuple(nodes), endpoints=Endpoints("127.0.0.1:1", "127.0.0.1:2"),
    )  # fmt: skip
    return replace(run, **changes)


def _node(kind: str, group: str, index: int) -> NodeObservation:
    return NodeObservation(NodeId(f"{group}-{index}"), kind, group, NodeState.ALIVE, AT)


def shown(spec: ClusterSpec, run: Instance | None = None, context: Context = CONTEXT, **changes: Any) -> Json:
    """The answer for a cluster; it keeps the protocol's schema in every case."""
    changes = changes or ({"state": State.RUNNING} if run else {"state": State.STARTING})
    answer = write_resource(ClusterView(cluster_of(spec, **changes), run), NAME, None, context)
    assert canonical.check(answer, schema.find("v1beta1", "PersistentResource")) == answer
    return answer


def elsewhere(*groups: WorkerGroup, **changes: Any) -> ClusterSpec:
    """A cluster that another dialect made."""
    spec = ClusterSpec("elsewhere", RELEASE, NodeShape("root_queue", Decimal("0.5"), 3 * GIB), groups)
    return replace(spec, **changes)


def group(name: str, replicas: int = 1, cpu: str = "2", gpu: str | None = None, **more: Any) -> WorkerGroup:
    return WorkerGroup(name, NodeShape("root_queue", Decimal(cpu), 4 * GIB, gpu), replicas, **more)


def vendor_reads(answer: Json) -> tuple[str, str, list[tuple[str, int]]]:
    """Ray, Python and the sizes of pools, as the vendor's client makes them out (contract, section 1.5).

    Raises where that would fail.
    """
    pools = answer["resourcePools"]
    ray = answer["resourceRuntimeSpec"]["raySpec"]
    assert ray, "no Ray cluster"
    image = ray["resourcePoolImages"][pools[0]["id"]]
    found = re.search(r"ray-(?:cpu|gpu)\.(\d+)-(\d+)\.py(\d)(\d+)", image)
    assert found is not None, image
    assert set(ray["resourcePoolImages"]) == {row["id"] for row in pools}
    counts = [(row["id"], int(row["replicaCount"])) for row in pools]
    assert counts[0][1] >= 1 and all(row["machineSpec"]["machineType"] for row in pools)
    assert len({name for name, _ in counts}) == len(counts)
    assert ("error" in answer) == (answer["state"] == "ERROR")
    return f"{found[1]}.{found[2]}", f"{found[3]}.{found[4]}", counts
