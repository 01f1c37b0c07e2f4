"""Any body: what is valid comes back as written, what is not is a client's error with a path, and nothing else happens."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.dialects.vertex.translate.machines import BUILT_IN, N1_LIMITS, Accepts
from heliostat.dialects.vertex.translate.paths import vertex_path
from heliostat.dialects.vertex.translate.resource import read_resource
from heliostat.dialects.vertex.translate.update import MASKS, read_mask, read_update
from heliostat.domain.errors import InvalidRequest
from heliostat.domain.installation import ACCELERATORS
from heliostat.domain.releases import BUILT_IN as RELEASES
from heliostat.domain.spec import Autoscaling, ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.validation import errors

from .resources import CONTEXT, DISK, OFFICIAL, Json, body, create, run_of, shown, vendor_reads

QUEUES = {"root_queue", "gpu"}
COUNT = settings(max_examples=60, deadline=None)


# --- valid bodies ---------------------------------------------------------------------------------------------------


@st.composite
def machines(draw: st.DrawFn) -> Json:
    kind = draw(st.sampled_from(["built-in", "custom", "n1", "rack"]))
    if kind == "n1":
        accelerator = draw(st.sampled_from(sorted(N1_LIMITS)))
        count, most = draw(st.sampled_from(sorted(N1_LIMITS[accelerator].items())))
        fitting = [row.name for row in BUILT_IN.values() if row.accepts is Accepts.N1 and row.cpus <= most]
        machine = draw(st.sampled_from(fitting))
        spec: Json = {"machineType": machine, "acceleratorType": accelerator, "acceleratorCount": count}
    elif kind == "built-in":
        spec = {"machineType": draw(st.sampled_from(sorted(BUILT_IN)))}
    else:
        spec = {"machineType": f"custom-{draw(st.integers(1, 64))}-{draw(st.integers(1, 1 << 20))}"}
        if kind == "rack":
            accelerator = draw(st.sampled_from(sorted(ACCELERATORS)))
            spec |= {
                "acceleratorType": accelerator,
                "acceleratorCount": draw(st.sampled_from(ACCELERATORS[accelerator][1])),
            }
    if draw(st.booleans()):
        spec["reservationAffinity"] = draw(
            st.sampled_from([{}, {"reservationAffinityType": "ANY_RESERVATION"}, {"key": "k", "values": ["v"]}])
        )
    return spec


@st.composite
def pools(draw: st.DrawFn, name: str) -> Json:
    found: Json = {"machineSpec": draw(machines())}
    if name:
        found["id"] = name
    if draw(st.booleans()):
        low = draw(st.integers(0, 9))
        high = draw(st.integers(low + 1, 20))
        found["autoscalingSpec"] = {"minReplicaCount": str(low), "maxReplicaCount": str(high)}
        if draw(st.booleans()):
            found["replicaCount"] = str(draw(st.integers(max(1, low), high)))
    else:
        found["replicaCount"] = str(draw(st.integers(1, 40)))
    if draw(st.booleans()):
        found["diskSpec"] = draw(
            st.sampled_from([{}, DISK, {"bootDiskType": "pd-standard"}, {"bootDiskSizeGb": 64_000}])
        )
    return found


IDS = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20)
WORDS = st.text(st.sampled_from("abcxyz0189_-éß東京"), max_size=63)
LABELS = st.dictionaries(WORDS.filter(lambda text: text[:1].isalnum()), WORDS, max_size=5)
DISABLED = st.sampled_from([None, {}, {"disabled": True}])


@st.composite
def bodies(draw: st.DrawFn) -> Json:
    names = draw(st.lists(st.one_of(st.just(""), IDS), min_size=1, max_size=4, unique_by=lambda text: text or object()))
    rows = [draw(pools(name)) for name in names]
    pair = draw(st.sampled_from(["2-47.py311", "2-47.py312", "2-60.py311", "2-60.py312"]))
    spec: Json = {}
    if not all(names) or draw(st.booleans()):
        spec["imageUri"] = f"{OFFICIAL}cpu.{pair}:latest"
        chosen = [name for name in names if name and draw(st.booleans())]
    else:
        chosen = names
    if chosen:
        spec["resourcePoolImages"] = {name: f"{OFFICIAL}gpu.{pair}:{index}" for index, name in enumerate(chosen)}
    if any(names) and draw(st.booleans()):
        spec["headNodeResourcePoolId"] = draw(st.sampled_from([name for name in names if name]))
    for key in ("rayMetricSpec", "rayLogsSpec"):
        if (value := draw(DISABLED)) is not None:
            spec[key] = value
    if draw(st.booleans()):
        places = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3))
        spec |= (
            {"nfsMounts": [{"server": "10.0.0.2", "path": "/e", "mountPoint": f"{at}/x"} for at in places]}
            if places
            else {}
        )
    found = body(*rows, ray=spec)
    found |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "displayName": TEXTS,
                "labels": LABELS.filter(bool),
                "reservedIpRanges": st.lists(TEXTS, min_size=1, max_size=3),
                "encryptionSpec": st.sampled_from([{}, {"kmsKeyName": "k"}]),
            },
        )
    )
    network = draw(
        st.sampled_from(
            [{}, {"network": "n"}, {"pscInterfaceConfig": {}}, {"pscInterfaceConfig": {"networkAttachment": "a"}}]
        )
    )
    if draw(st.booleans()):
        account = {"enableCustomServiceAccount": True, "serviceAccount": "a@b"}
        found["resourceRuntimeSpec"]["serviceAccountSpec"] = draw(st.sampled_from([{}, account]))
    return found | network


def contains(answer: Any, given: Any, path: str = "") -> None:
    """Everything that was written is in the answer, which may have filled in more."""
    if isinstance(given, dict):
        for key, value in given.items():
            assert key in answer, f"{path}.{key}"
            contains(answer[key], value, f"{path}.{key}")
    elif isinstance(given, list):
        assert len(answer) == len(given), path
        for index, (one, other) in enumerate(zip(answer, given, strict=True)):
            contains(one, other, f"{path}[{index}]")
    else:
        assert answer == given, path


@COUNT
@given(bodies())
def test_what_is_valid_comes_back_as_written(written: Json) -> None:
    spec = create(written)
    assert not list(errors(spec, CONTEXT.installation, QUEUES))
    answer = shown(spec)
    counts = vendor_reads(answer)[2]
    expected = dict(written)
    if head := written["resourceRuntimeSpec"]["raySpec"].get("headNodeResourcePoolId"):
        rows = written["resourcePools"]
        expected["resourcePools"] = sorted(rows, key=lambda row: row.get("id") != head)
    contains(answer, expected)
    for group_at in range(len(spec.workers)):
        assert vertex_path(f"workers[{group_at}].cpu", spec).startswith("resourcePools[")

    # What was shown can be sent again: as a create it makes the same cluster, as an update it changes nothing.
    again = create(answer)
    assert replace(again, extras={}, unhonoured={}) == replace(spec, extras={}, unhonoured={})
    assert shown(again) == answer
    assert read_update(answer, read_mask("resource_pools,labels,display_name"), CONTEXT)(spec) == spec
    live = shown(spec, run_of(spec, {row.name: 1 for row in spec.workers}))
    assert vendor_reads(live)[2][0][0] == counts[0][0]


# --- clusters of other dialects -------------------------------------------------------------------------------------


@st.composite
def elsewhere(draw: st.DrawFn) -> ClusterSpec:
    def shape() -> NodeShape:
        gpu = draw(st.sampled_from([None, None, *CONTEXT.installation.gpus]))
        cpu = draw(st.decimals("0.001", 512, places=3, allow_nan=False))
        return NodeShape("root_queue", Decimal(cpu), draw(st.integers(1, 1 << 45)), gpu)

    names = draw(st.lists(st.sampled_from(["head-node", "head-node-workers", "a", "B_1"]), unique=True, max_size=4))
    head, scales, groups = shape(), draw(st.booleans()), []
    for name in names:
        low = draw(st.integers(0, 5))
        high = draw(st.integers(low, 9))
        count = draw(st.integers(low, high))
        own = head if draw(st.booleans()) else shape()
        groups.append(
            WorkerGroup(name, own, count, low, high) if draw(st.booleans()) or scales else WorkerGroup(name, own, count)
        )
    release = draw(st.sampled_from(RELEASES)).display
    description = draw(st.text(max_size=200).filter(lambda text: "\0" not in text))
    return ClusterSpec("x", release, head, tuple(groups), description, Autoscaling(scales))


@COUNT
@given(elsewhere(), st.data())
def test_every_cluster_can_be_read_by_the_vendors_client_and_resized(spec: ClusterSpec, data: st.DataObject) -> None:
    alive = {row.name: data.draw(st.integers(0, 12)) for row in spec.workers}
    answer = shown(spec, run_of(spec, alive))
    vendor_reads(answer)
    resized = {**answer, "resourcePools": [dict(row) for row in answer["resourcePools"]]}
    for row in resized["resourcePools"][1:]:
        bounds = row.get("autoscalingSpec")
        least, most = (int(bounds["minReplicaCount"]), int(bounds["maxReplicaCount"])) if bounds else (1, 20)
        row["replicaCount"] = str(data.draw(st.integers(least, most)))
    changed = read_update(resized, read_mask("resource_pools.replica_count"), CONTEXT)(spec)
    assert not list(errors(changed, CONTEXT.installation, QUEUES))
    expected = [row["replicaCount"] for row in resized["resourcePools"][1:]]
    assert [row["replicaCount"] for row in shown(changed)["resourcePools"][1:]] == expected
    assert [row.shape for row in changed.workers] == [row.shape for row in spec.workers]


# --- anything -------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    ["id", "machineSpec", "machineType", "acceleratorType", "acceleratorCount", "replicaCount", "autoscalingSpec",
     "minReplicaCount", "maxReplicaCount", "diskSpec", "bootDiskType", "bootDiskSizeGb", "resourcePools", "labels", "displayName",
     "resourceRuntimeSpec", "raySpec", "imageUri", "resourcePoolImages", "nfsMounts", "server", "path", "mountPoint",
     "reservationAffinity", "values", "key", "pscInterfaceConfig", "dnsPeeringConfigs", "network", "serviceAccountSpec",
     "gpuPartitionSize", "tpuTopology", "heliostat-queue", "head-node"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["1", "2", "n1-standard-4", "custom-1-1024", "NVIDIA_L4", "head-node", f"{OFFICIAL}cpu.2-47.py311:latest"]),
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """A valid body in which something is something else."""
    found: Any = deepcopy(draw(bodies()))  # parts of it are shared
    whole, at = {"": found}, found
    before: Any = whole
    key: Any = ""
    while isinstance(at, dict | list) and at and draw(st.integers(0, 5)):
        before, key = at, draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        at = at[key]
    before[key] = draw(ANYTHING)
    return whole[""]


@COUNT
@given(st.one_of(ANYTHING, spoilt()), st.one_of(st.just("c1"), st.text(max_size=5)))
def test_whatever_is_sent_is_read_or_is_the_clients_error(written: Any, name: str) -> None:
    try:
        spec = read_resource(name, written, CONTEXT)
    except InvalidRequest as error:
        assert error.path and error.message
    else:
        found = list(errors(spec, CONTEXT.installation, {*QUEUES, spec.head.queue}))
        assert not found, found
        shown(spec)


@COUNT
@given(
    st.one_of(ANYTHING, spoilt()),
    st.one_of(
        st.lists(st.sampled_from(MASKS), min_size=1, max_size=3),
        st.lists(st.text(st.sampled_from("resource_poolsRC.,*"), max_size=20)),
        st.text(max_size=20),
    ),
    bodies(),
)
def test_whatever_update_is_sent_is_made_or_is_the_clients_error(written: Any, mask: Any, present: Json) -> None:
    spec = create(present)
    try:
        changed = read_update(written, read_mask(mask), CONTEXT)(spec)
    except InvalidRequest as error:
        assert error.path and error.message
    else:
        assert not list(errors(changed, CONTEXT.installation, {*QUEUES, changed.head.queue}))
        shown(changed)
