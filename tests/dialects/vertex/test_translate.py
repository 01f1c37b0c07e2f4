"""Bodies to specs: every rule with its path. Clusters to resources: as written while it holds, and what others changed."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from heliostat.dialects.vertex.settings import VertexSettings
from heliostat.dialects.vertex.translate.paths import vertex_path
from heliostat.dialects.vertex.translate.resource import Context, read_resource, resource_id, write_resource
from heliostat.domain.engine import Endpoints
from heliostat.domain.errors import InvalidRequest
from heliostat.domain.installation import Installation
from heliostat.domain.spec import Autoscaling, NfsMount, WorkerGroup
from heliostat.domain.states import State, Wanted
from heliostat.domain.validation import errors
from heliostat.services import ClusterView

from .resources import (
    AT,
    CONTEXT,
    CPU,
    DISK,
    GIB,
    GPU,
    OFFICIAL,
    RELEASE,
    SENT,
    Json,
    body,
    cluster_of,
    create,
    elsewhere,
    group,
    pool,
    run_of,
    scaling,
    shown,
    vendor_reads,
)

RAY = "resourceRuntimeSpec.raySpec"


def refusal(given: Any, context: Context = CONTEXT) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        create(given, context)
    assert type(caught.value) is InvalidRequest
    return caught.value.path or "", caught.value.message


def ray(**spec: Any) -> Json:
    return body(ray={"imageUri": CPU, **spec})


# --- reading --------------------------------------------------------------------------------------------------------


def test_what_the_vendors_client_sends() -> None:
    spec = create(SENT)
    assert (spec.name, spec.release, spec.labels) == ("c1", RELEASE, {"a": "b"})
    assert (spec.head.cpu, spec.head.memory, spec.head.gpu) == (8, 30 * GIB, None)
    (workers,) = spec.workers
    assert (workers.name, workers.replicas, workers.type) == ("worker-pool1", 2, "GPU")
    assert (workers.shape.cpu, workers.shape.memory, workers.shape.gpu) == (4, 15 * GIB, "NVIDIA_TESLA_T4-1")
    assert list(spec.unhonoured) == ["resourceRuntimeSpec.serviceAccountSpec"]
    assert not list(errors(spec, CONTEXT.installation, {"root_queue"}))


def test_the_heads_pool_with_more_nodes_has_workers_too() -> None:
    spec = create(body(pool(count=3)))
    assert [(row.name, row.replicas, row.min_replicas) for row in spec.workers] == [("head-node", 2, None)]
    assert create(body(pool(count=1))).workers == ()


def test_ids_are_made_up() -> None:
    spec = create(body(pool(), pool(), pool("worker-pool3"), pool()))
    assert [row.name for row in spec.workers] == ["worker-pool1", "worker-pool3", "worker-pool4"]
    spec = create(body(pool(), pool("b"), ray={"imageUri": CPU, "headNodeResourcePoolId": "b"}))
    assert [row.name for row in spec.workers] == ["head-node"]


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        (pool(count=None, **scaling(1, 4)), ("head-node", 0, 0, 3)),
        (pool(count=None, **scaling(0, 1)), ("head-node", 0, 0, 0)),
        (pool(count=3, **scaling(2, 4)), ("head-node", 2, 1, 3)),
    ],
)
def test_bounds_of_the_heads_pool_do_not_count_the_head(given: Json, bounds: tuple[str, int, int, int]) -> None:
    spec = create(body(given))
    (workers,) = spec.workers
    assert (workers.name, workers.replicas, workers.min_replicas, workers.max_replicas) == bounds
    assert spec.autoscaling.enabled
    assert shown(spec)["resourcePools"][0]["autoscalingSpec"] == given["autoscalingSpec"]


def test_a_fixed_pool_beside_one_that_scales() -> None:
    spec = create(body(pool(), pool(count=2), pool(count=None, **scaling(0, 5))))
    assert [(row.replicas, row.min_replicas, row.max_replicas) for row in spec.workers] == [(2, 2, 2), (0, 0, 5)]
    pools = shown(spec)["resourcePools"]
    assert [row.get("autoscalingSpec") for row in pools] == [None, None, scaling(0, 5)["autoscalingSpec"]]
    assert [row["replicaCount"] for row in pools] == ["1", "2", "0"]


def test_a_label_names_the_queue() -> None:
    spec = create(body(pool(count=2), labels={"heliostat-queue": "gpu"}))
    assert {spec.head.queue, spec.workers[0].shape.queue} == {"gpu"}
    moved = replace(spec, head=replace(spec.head, queue="other"))
    assert shown(moved)["labels"] == {"heliostat-queue": "other"}


def test_mounts_metrics_and_logs() -> None:
    mount = {"server": "10.0.0.2", "path": "/exp", "mountPoint": "data/a"}
    spec = create(ray(nfsMounts=[mount], rayMetricSpec={"disabled": True}, rayLogsSpec={"disabled": True}))
    assert spec.nfs_mounts == (NfsMount("10.0.0.2", "/exp", "data/a"),)
    assert not spec.metrics and not spec.collect_logs
    answer = shown(spec)["resourceRuntimeSpec"]["raySpec"]
    assert answer["nfsMounts"] == [mount] and answer["rayMetricSpec"] == {"disabled": True} == answer["rayLogsSpec"]


def test_output_only_fields_are_not_looked_at() -> None:
    junk = {"name": 1, "state": [], "error": "x", "createTime": {}, "resourceRuntime": 5, "satisfiesPzs": "no"}
    given = body(pool(usedReplicaCount="many"))
    assert create({**given, **junk}) == create(given)


@pytest.mark.parametrize("name", ["", "C", "1a", "a-", "a_b", "a" * 64, "ray-0123456789abcdef", "a\n"])
def test_ids_that_cannot_be(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_resource(name, body(), CONTEXT)
    assert caught.value.path == "persistentResourceId"


@pytest.mark.parametrize("name", ["a", "a" * 63, "ray-0123456789abcde", "a-1"])
def test_ids_that_can_be(name: str) -> None:
    assert resource_id(cluster_of(read_resource(name, body(), CONTEXT))) == name


@pytest.mark.parametrize("name", ["Big", "ray-aaaaaaaaaaaaaaaa", "a b"])
def test_a_cluster_with_another_kind_of_name_goes_by_its_id(name: str) -> None:
    assert resource_id(cluster_of(elsewhere(name=name))) == "ray-0123456789abcdef"


POOL = "resourcePools[0]"
MACHINE = f"{POOL}.machineSpec"
REFUSED: list[tuple[str, Any]] = [
    ("persistentResource", []),
    ("resourcePools", {**body(), "resourcePools": []}),
    ("resourcePools", body(*[pool() for _ in range(52)])),
    ("resourcePools", body(pool(count=1000), pool(count=1000), pool(count=1))),
    ("resourcePools", body(pool(count=1000), pool(count=1000), pool(count=None, **scaling(0, 1)))),
    ("resourcePools[1].id", body(pool("a"), pool("a"))),
    (f"{POOL}.id", body(pool("a b"))),
    (f"{POOL}.replicaCount", body(pool(count=0))),
    (f"{POOL}.replicaCount", body(pool(count=1001))),
    (f"{POOL}.replicaCount", body(pool(count=None))),
    (f"{POOL}.replicaCount", body({**pool(), "replicaCount": "two"})),
    (f"{POOL}.replicaCount", body(pool(count=5, **scaling(1, 4)))),
    (f"{POOL}.replicaCount", body(pool(count=0, **scaling(1, 4)))),
    (f"{POOL}.autoscalingSpec.minReplicaCount", body(pool(count=None, **scaling(2, 2)))),
    (f"{POOL}.autoscalingSpec.minReplicaCount", body(pool(count=None, **scaling(-1, 2)))),
    (f"{POOL}.autoscalingSpec.maxReplicaCount", body(pool(count=None, **scaling(1, 1001)))),
    (f"{POOL}.autoscalingSpec.maxReplicaCount", body(pool(count=None, autoscalingSpec={}))),
    (f"{POOL}.diskSpec.bootDiskSizeGb", body(pool(diskSpec={"bootDiskSizeGb": 99}))),
    (f"{POOL}.diskSpec.bootDiskSizeGb", body(pool(diskSpec={"bootDiskSizeGb": 64001}))),
    (f"{POOL}.diskSpec.bootDiskType", body(pool(diskSpec={"bootDiskType": "tape"}))),
    (f"{MACHINE}.machineType", body({"replicaCount": "1"})),
    (f"{MACHINE}.machineType", body(pool(machine="n1-standard-3"))),
    ("displayName", body(displayName="x" * 129)),
    ("labels.A", body(labels={"A": ""})),
    ("labels.", body(labels={"": "x"})),
    ("labels._a", body(labels={"_a": "x"})),
    ("labels.a", body(labels={"a": "X"})),
    ("labels.a", body(labels={"a": "x" * 64})),
    (f"labels.{'a' * 63}", body(labels={"a" * 64: "x"})),
    ("labels", body(labels={f"k{n}": "" for n in range(65)})),
    ("labels.heliostat-queue", body(labels={"heliostat-queue": ""})),
    ("pscInterfaceConfig", body(network="projects/1/global/networks/n", pscInterfaceConfig={"networkAttachment": "a"})),
    (f"{RAY}.resourcePoolImages", body(ray={})),
    (f"{RAY}.resourcePoolImages.head-node", body(ray={"resourcePoolImages": {"head-node": "python:3"}})),
    (f"{RAY}.resourcePoolImages.worker-pool1", body(pool(), pool(), ray={"resourcePoolImages": {"head-node": CPU}})),
    (f"{RAY}.resourcePoolImages.other", ray(resourcePoolImages={"other": CPU})),
    (f"{RAY}.imageUri", body(ray={"imageUri": f"{OFFICIAL}cpu.2-9.py310:latest"})),
    (f"{RAY}.resourcePoolImages.worker-pool1",
     body(pool(), pool(), ray={"imageUri": CPU, "resourcePoolImages": {"worker-pool1": CPU.replace("311", "312")}})),
    (f"{RAY}.headNodeResourcePoolId", ray(headNodeResourcePoolId="none")),
    (f"{RAY}.nfsMounts[0].server", ray(nfsMounts=[{}])),
    (f"{RAY}.nfsMounts[0].path", ray(nfsMounts=[{"server": "s", "path": "exp", "mountPoint": "a"}])),
    (f"{RAY}.nfsMounts[0].mountPoint", ray(nfsMounts=[{"server": "s", "path": "/e"}])),
    (f"{RAY}.nfsMounts[0].mountPoint", ray(nfsMounts=[{"server": "s", "path": "/e", "mountPoint": "a/../../b"}])),
    (f"{RAY}.nfsMounts[1].mountPoint",
     ray(nfsMounts=[{"server": "s", "path": "/e", "mountPoint": "a"}, {"server": "s", "path": "/f", "mountPoint": "a/b"}])),
    (f"{RAY}.rayMetricSpec.disabled", ray(rayMetricSpec={"disabled": "yes"})),
]  # fmt: skip
ACCOUNT = "resourceRuntimeSpec.serviceAccountSpec.serviceAccount"


@pytest.mark.parametrize(("path", "given"), REFUSED, ids=[f"{n}-{path}" for n, (path, _) in enumerate(REFUSED)])
def test_what_is_refused_names_its_path(path: str, given: Any) -> None:
    assert refusal(given)[0] == path


@pytest.mark.parametrize("account", [{"serviceAccount": "a@b"}, {"enableCustomServiceAccount": True}])
def test_a_service_account_is_whole(account: Json) -> None:
    given = body()
    given["resourceRuntimeSpec"]["serviceAccountSpec"] = account
    assert refusal(given)[0] == ACCOUNT


def test_labels_in_other_scripts_pass_the_checks_of_the_domain() -> None:
    labels = {"équipe": "größe", "1-チーム": "東京_1", "a-": ""}
    spec = create(body(labels=labels))
    assert not list(errors(spec, CONTEXT.installation, {"root_queue"})) and shown(spec)["labels"] == labels


def test_what_has_no_effect_is_told() -> None:
    machine = {
        "machineType": "a2-highgpu-1g", "gpuPartitionSize": "1g.5gb", "minGpuDriverVersion": "550", "multihostGpuNodeCount": 2,
        "reservationAffinity": {"reservationAffinityType": "SPECIFIC_RESERVATION", "key": "k", "values": ["v"]},
    }  # fmt: skip
    given = body(
        {"machineSpec": machine, "replicaCount": "1", "diskSpec": {"bootDiskType": "pd-standard"}},
        network="n", reservedIpRanges=["r"], encryptionSpec={"kmsKeyName": "k"},
    )  # fmt: skip
    spec = create(given)
    assert set(spec.unhonoured) == {
        f"{MACHINE}.{name}"
        for name in ("gpuPartitionSize", "minGpuDriverVersion", "multihostGpuNodeCount", "reservationAffinity")
    } | {f"{POOL}.diskSpec", "network", "reservedIpRanges", "encryptionSpec"}
    answer = shown(spec)
    assert answer["resourcePools"][0]["machineSpec"].items() >= machine.items()
    assert all(answer[key] == given[key] for key in ("network", "reservedIpRanges", "encryptionSpec"))


def test_defaults_are_no_findings() -> None:
    idle = {"machineType": "n1-standard-4", "reservationAffinity": {"reservationAffinityType": "NO_RESERVATION"}}
    given = body({"machineSpec": idle, "replicaCount": "1", "diskSpec": DISK}, pscInterfaceConfig={}, encryptionSpec={})
    given["resourceRuntimeSpec"]["serviceAccountSpec"] = {}
    assert create(given).unhonoured == {}


def test_an_image_that_an_operator_has_mapped() -> None:
    context = Context(Installation(), VertexSettings(images={"registry.example.com/ray/*": "ray-1.3.1"}))
    given = body(ray={"imageUri": "registry.example.com/ray/team:7"})
    spec = create(given, context)
    assert spec.release == "ray-1.3.1 (Ray 2.60.0, Python 3.11)"
    answer = shown(spec, context=context)["resourceRuntimeSpec"]["raySpec"]
    assert answer["imageUri"] == "registry.example.com/ray/team:7" == answer["resourcePoolImages"]["head-node"]
    unmapped = shown(spec)["resourceRuntimeSpec"]["raySpec"]  # the operator has taken it out again
    assert "imageUri" not in unmapped and "ray-cpu.2-60.py311" in unmapped["resourcePoolImages"]["head-node"]


# --- writing --------------------------------------------------------------------------------------------------------


def test_a_running_resource() -> None:
    spec = create({**SENT, "displayName": "Mine"})
    run = run_of(spec, {"worker-pool1": 1})
    answer = shown(spec, run, instance=run.id)
    assert vendor_reads(answer) == ("2.47", "3.11", [("head-node", 1), ("worker-pool1", 2)])
    for key in ("labels", "resourceRuntimeSpec"):
        assert answer[key] == SENT[key]
    assert [row.get("usedReplicaCount") for row in answer["resourcePools"]] == ["1", "1"]
    assert [{k: v for k, v in row.items() if k != "usedReplicaCount"} for row in answer["resourcePools"]] == SENT[
        "resourcePools"
    ]
    assert answer["displayName"] == "Mine" and answer["state"] == "RUNNING" and "error" not in answer
    assert answer["createTime"] == "2026-01-01T00:00:00Z" and answer["updateTime"] == "2026-01-01T00:00:05Z"
    assert answer["startTime"] == "2026-01-01T00:00:03Z"
    assert answer["resourceRuntime"]["accessUris"] == {
        "RAY_DASHBOARD_URI": "localhost:8601/c/ray-0123456789abcdef",
        "RAY_CLIENT_ENDPOINT": "c-ray-0123456789abcdef.ray.localhost:8601",
    }


@pytest.mark.parametrize(
    ("universe", "endpoint"),
    [
        ("ray.example.com:443", "c-ray-0123456789abcdef.ray.example.com:443"),
        ("ray.example.com", "c-ray-0123456789abcdef.ray.example.com:443"),
        ("localhost:9", "c-ray-0123456789abcdef.ray.localhost:9"),
        ("10.0.0.1:8601", None),
        ("[::1]:8601", None),
    ],
)
def test_where_ray_client_goes(universe: str, endpoint: str | None) -> None:
    spec, context = create(body()), Context(Installation(tls_place="h:1", universe=universe))
    uris = shown(spec, run_of(spec), context)["resourceRuntime"]["accessUris"]
    assert uris.get("RAY_CLIENT_ENDPOINT") == endpoint and uris["RAY_DASHBOARD_URI"] == "h:1/c/ray-0123456789abcdef"


def test_addresses_are_told_only_while_they_lead_somewhere() -> None:
    spec = create(body())
    run = run_of(spec)
    for changes in ({"state": State.STARTING}, {"state": State.RUNNING, "wanted": Wanted.DELETED}):
        assert shown(spec, run, **changes)["resourceRuntime"] == {}
    assert shown(spec, run, Context(Installation()))["resourceRuntime"] == {}


@pytest.mark.parametrize("more", [{}, {"resourceRuntimeSpec": {}}])
def test_a_resource_without_a_ray_spec_is_a_ray_cluster_of_the_default_release(more: Json) -> None:
    spec = create({"resourcePools": [pool(count=2)], **more})
    default = CONTEXT.installation.catalogue.default_release
    assert spec.release == default.display and [group.replicas for group in spec.workers] == [1]
    assert spec.metrics and spec.collect_logs and spec.nfs_mounts == ()
    assert vendor_reads(shown(spec))[:2] == (".".join(default.ray.split(".")[:2]), default.python)


def test_ray_clients_address_is_told_before_its_server_answers_unless_it_never_will() -> None:
    spec = create(body())
    early = run_of(spec, endpoints=Endpoints("127.0.0.1:1"))
    assert "RAY_CLIENT_ENDPOINT" in shown(spec, early)["resourceRuntime"]["accessUris"]
    without = Context(replace(CONTEXT.installation, ray_client=False))
    assert set(shown(spec, early, without)["resourceRuntime"]["accessUris"]) == {"RAY_DASHBOARD_URI"}


def test_a_pool_that_scales_is_shown_with_the_nodes_that_there_are() -> None:
    spec = create(body(pool(count=None, **scaling(1, 4)), pool(count=None, **scaling(0, 9))))
    for alive, counts in (
        ({}, ["1", "0"]),
        ({"head-node": 2, "worker-pool1": 3}, ["3", "3"]),
        ({"head-node": 9}, ["4", "0"]),
    ):
        assert [row["replicaCount"] for row in shown(spec, run_of(spec, alive))["resourcePools"]] == counts
    assert [row["replicaCount"] for row in shown(spec)["resourcePools"]] == ["1", "0"]


def test_the_pool_with_the_head_is_shown_first() -> None:
    given = body(pool("a"), pool("b", count=2), ray={"imageUri": CPU, "headNodeResourcePoolId": "b"})
    spec = create(given)
    answer = shown(spec)
    assert vendor_reads(answer)[2] == [("b", 2), ("a", 1)]
    assert answer["resourceRuntimeSpec"]["raySpec"]["headNodeResourcePoolId"] == "b"
    assert vertex_path("head.cpu", spec) == "resourcePools[1].machineSpec.machineType"
    assert vertex_path("workers[1].replicas", spec) == "resourcePools[0].replicaCount"


# --- clusters of other dialects -------------------------------------------------------------------------------------


def test_a_cluster_that_was_made_elsewhere() -> None:
    spec = elsewhere(group("w", 0), group("g", 2, gpu="ecs.gn6i-c4g1.xlarge"), description="d" * 200)
    answer = shown(spec, run_of(spec))
    assert vendor_reads(answer) == ("2.47", "3.11", [("head-node", 1), ("w", 0), ("g", 2)])
    assert [row["machineSpec"] for row in answer["resourcePools"]] == [
        {"machineType": "custom-1-3072"},
        {"machineType": "custom-2-4096"},
        {"machineType": "custom-2-4096", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
    ]
    assert all(row["diskSpec"] == DISK for row in answer["resourcePools"])
    assert answer["resourceRuntimeSpec"]["raySpec"]["resourcePoolImages"] == {"head-node": CPU, "w": CPU, "g": GPU}
    assert len(answer["displayName"]) == 128


def test_images_of_a_cluster_made_elsewhere_are_of_the_locations_continent() -> None:
    name = "projects/123456789012/locations/europe-west4/persistentResources/x"
    answer = write_resource(ClusterView(cluster_of(elsewhere()), None), name, None, CONTEXT)
    assert answer["resourceRuntimeSpec"]["raySpec"]["resourcePoolImages"]["head-node"].startswith("europe-")


def test_a_group_that_bears_the_name_of_the_heads_pool() -> None:
    same = elsewhere(group("head-node", 2, cpu="0.5"), head=group("x", cpu="0.5").shape)
    assert vendor_reads(shown(same))[2] == [("head-node", 3)]
    other = elsewhere(group("head-node", 2), group("head-node-workers", 1))
    assert vendor_reads(shown(other))[2] == [("head-node", 1), ("head-node-workers2", 2), ("head-node-workers", 1)]


def test_workers_like_the_head_are_in_its_pool_as_the_client_takes_them() -> None:
    like = group("x", cpu="0.5").shape
    made = elsewhere(group("w", 1), group("a", 2, cpu="0.5"), group("b", 3, cpu="0.5"), head=like)
    assert vendor_reads(shown(made))[2] == [("head-node", 3), ("w", 1), ("b", 3)]
    assert vertex_path("workers[1].replicas", made) == "resourcePools[0].replicaCount"
    run = run_of(made, {"w": 1, "a": 2, "b": 3})
    assert [row["usedReplicaCount"] for row in shown(made, run)["resourcePools"]] == ["3", "1", "3"]

    other = replace(like, release="ray-1.3.1 (Ray 2.60.0, Python 3.11)")
    assert vendor_reads(shown(elsewhere(replace(group("a"), shape=other), head=like)))[2] == [
        ("head-node", 1),
        ("a", 1),
    ]
    own = create(body(pool("h"), pool("w", count=2)))
    assert vendor_reads(shown(own))[2] == [("h", 1), ("w", 2)], "pools come back as they were written"


def test_autoscaling_of_a_cluster_made_elsewhere() -> None:
    spec = elsewhere(
        group("w", 1, min_replicas=1, max_replicas=4), group("f", 2, min_replicas=2, max_replicas=2),
        autoscaling=Autoscaling(True),
    )  # fmt: skip
    pools = shown(spec)["resourcePools"]
    assert [row.get("autoscalingSpec") for row in pools] == [None, scaling(1, 4)["autoscalingSpec"], None]
    off = replace(spec, autoscaling=Autoscaling(False))
    assert not any("autoscalingSpec" in row for row in shown(off)["resourcePools"])


def changed_group(row: WorkerGroup, **shape: Any) -> WorkerGroup:
    return replace(row, shape=replace(row.shape, **shape))


def test_what_others_change_shows_and_what_is_stale_does_not() -> None:
    spec = create(SENT)
    (workers,) = spec.workers

    more = shown(replace(spec, workers=(replace(workers, replicas=7),)))["resourcePools"]
    assert [row["replicaCount"] for row in more] == ["1", "7"]

    larger = shown(replace(spec, workers=(changed_group(workers, cpu=Decimal(6)),)))["resourcePools"][1]["machineSpec"]
    assert larger == {"machineType": "custom-6-15360", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1}

    bare = shown(replace(spec, workers=(changed_group(workers, gpu=None),)))
    assert bare["resourcePools"][1]["machineSpec"] == {"machineType": "custom-4-15360"}

    newer = shown(replace(spec, release="ray-1.3.1 (Ray 2.60.0, Python 3.11)"))["resourceRuntimeSpec"]["raySpec"]
    assert newer["resourcePoolImages"] == {
        "head-node": f"{OFFICIAL}cpu.2-60.py311:latest", "worker-pool1": f"{OFFICIAL}gpu.2-60.py311:latest"
    }  # fmt: skip

    gone = shown(replace(spec, workers=()))
    assert vendor_reads(gone)[2] == [("head-node", 1)] and "worker-pool1" not in json.dumps(gone)

    added = shown(replace(spec, workers=(*spec.workers, group("extra", 3))))
    assert vendor_reads(added)[2] == [("head-node", 1), ("worker-pool1", 2), ("extra", 3)]

    back = shown(replace(spec, workers=(workers,), description="new", metrics=False))
    assert back["displayName"] == "new" and back["resourceRuntimeSpec"]["raySpec"]["rayMetricSpec"] == {
        "disabled": True
    }
    assert [row["machineSpec"] for row in back["resourcePools"]] == [
        row["machineSpec"] for row in SENT["resourcePools"]
    ]


def test_a_heads_pool_whose_head_was_made_larger_elsewhere_is_two_pools() -> None:
    spec = create(body(pool(count=3)))
    changed = replace(spec, head=replace(spec.head, cpu=Decimal(8)))
    assert vendor_reads(shown(changed))[2] == [("head-node", 1), ("head-node-workers", 2)]


def test_bounds_that_others_change() -> None:
    spec = create(body(pool(count=None, **scaling(0, 4))))
    (workers,) = spec.workers
    assert shown(spec)["resourcePools"][0]["autoscalingSpec"] == scaling(0, 4)["autoscalingSpec"]
    changed = replace(spec, workers=(replace(workers, max_replicas=9),))
    assert shown(changed)["resourcePools"][0]["autoscalingSpec"] == scaling(1, 10)["autoscalingSpec"]


def test_times_have_as_many_decimals_as_they_need() -> None:
    answer = shown(elsewhere(), state=State.RUNNING, created_at=AT.replace(microsecond=120))
    assert answer["createTime"] == "2026-01-01T00:00:00.000120Z"


@pytest.mark.parametrize(
    ("native", "here"),
    [
        ("name", "persistentResourceId"),
        ("description", "displayName"),
        ("release", f"{RAY}.resourcePoolImages"),
        ("head.gpu", "resourcePools[0].machineSpec.acceleratorType"),
        ("head.queue", "labels.heliostat-queue"),
        ("workers", "resourcePools"),
        ("workers[0].max_replicas", "resourcePools[1].autoscalingSpec.maxReplicaCount"),
        ("workers[worker-pool1].name", "resourcePools[1].id"),
        ("workers[0].release", f"{RAY}.resourcePoolImages.worker-pool1"),
        ("workers[0]", "resourcePools[1]"),
        ("workers[7].cpu", "workers[7].cpu"),
        ("nfs_mounts[0].mount_point", f"{RAY}.nfsMounts[0].mountPoint"),
        ("nfs_mounts[1]", f"{RAY}.nfsMounts[1]"),
        ("labels.a", "labels.a"),
        ("volumes[0]", "volumes[0]"),
    ],
)
def test_paths_are_told_in_this_dialects_words(native: str, here: str) -> None:
    assert vertex_path(native, create(SENT)) == here
