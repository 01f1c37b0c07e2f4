"""The protocol: bytes as the vendor's classes write them, JSON with all its liberties, and refusals that name the place."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, cast

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.dialects.vertex.wire import (
    VERSIONS,
    Messages,
    Version,
    WireError,
    from_json,
    mask_paths,
    pack,
    present,
    schema,
    to_canonical,
    to_message,
)
from heliostat.dialects.vertex.wire.messages import _pool
from heliostat.dialects.vertex.wire.schema import Kind, Shape

BETA = Messages("v1beta1")
FULL: dict[str, Any] = {
    "name": "n",
    "displayName": "d",
    "resourcePools": [
        {
            "id": "p",
            "machineSpec": {
                "machineType": "m",
                "acceleratorType": "NVIDIA_TESLA_T4",
                "acceleratorCount": 2,
                "tpuTopology": "t",
                "reservationAffinity": {
                    "reservationAffinityType": "SPECIFIC_RESERVATION",
                    "key": "k",
                    "values": ["v", ""],
                },
                "multihostGpuNodeCount": 3,
                "gpuPartitionSize": "g",
                "minGpuDriverVersion": "5",
            },
            "replicaCount": "0",
            "diskSpec": {"bootDiskType": "b", "bootDiskSizeGb": 100},
            "usedReplicaCount": "300",
            "autoscalingSpec": {"minReplicaCount": "0", "maxReplicaCount": "-1"},
        },
        {},
    ],
    "state": "RUNNING",
    "error": {
        "code": 8,
        "message": "e",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "r", "domain": "d", "metadata": {"a": "b"}}
        ],
    },
    "createTime": "1970-01-01T00:00:01.500Z",
    "startTime": "1970-01-01T00:00:00Z",
    "updateTime": "1969-12-31T23:59:59.000000001Z",
    "labels": {"a": ""},
    "network": "w",
    "encryptionSpec": {"kmsKeyName": "k"},
    "resourceRuntimeSpec": {
        "raySpec": {
            "imageUri": "i",
            "resourcePoolImages": {"p": "q"},
            "headNodeResourcePoolId": "p",
            "rayMetricSpec": {"disabled": True},
            "rayLogsSpec": {},
            "nfsMounts": [{"server": "s", "path": "/", "mountPoint": "o"}],
        },
        "serviceAccountSpec": {"enableCustomServiceAccount": True, "serviceAccount": "a"},
    },
    "resourceRuntime": {"accessUris": {"RAY_DASHBOARD_URI": "u"}, "notebookRuntimeTemplate": "n"},
    "reservedIpRanges": ["r"],
    "pscInterfaceConfig": {
        "networkAttachment": "a",
        "dnsPeeringConfigs": [{"domain": "x.", "targetProject": "p", "targetNetwork": "n"}],
    },
    "satisfiesPzs": True,
    "satisfiesPzi": True,
}


# Bytes


def part(number: int, *content: bytes) -> bytes:
    """A length-delimited field: text, a message, an entry of a map."""
    payload = b"".join(content)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def whole(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value % (1 << 64))


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


GOLDEN = b"".join(
    [
        part(1, b"n"),
        part(2, b"d"),
        part(
            4,
            part(1, b"p"),
            part(
                2,
                part(1, b"m"),
                whole(2, 5),
                whole(3, 2),
                part(4, b"t"),
                part(5, whole(1, 3), part(2, b"k"), part(3, b"v"), part(3)),
                whole(6, 3),
                part(7, b"g"),
                part(9, b"5"),
            ),
            whole(3, 0),
            part(4, part(1, b"b"), whole(2, 100)),
            whole(6, 300),
            part(7, whole(1, 0), whole(2, -1)),
        ),
        part(4),
        whole(5, 3),
        part(
            6,
            whole(1, 8),
            part(2, b"e"),
            part(
                3,
                part(1, b"type.googleapis.com/google.rpc.ErrorInfo"),
                part(2, part(1, b"r"), part(2, b"d"), part(3, part(1, b"a"), part(2, b"b"))),
            ),
        ),
        part(7, whole(1, 1), whole(2, 500_000_000)),
        part(8),
        part(9, whole(1, -1), whole(2, 1)),
        part(10, part(1, b"a"), part(2)),
        part(11, b"w"),
        part(12, part(1, b"k")),
        part(
            13,
            part(
                1,
                part(1, b"i"),
                part(6, part(1, b"p"), part(2, b"q")),
                part(7, b"p"),
                part(8, whole(1, 1)),
                part(10),
                part(11, part(1, b"s"), part(2, b"/"), part(3, b"o")),
            ),
            part(2, whole(1, 1), part(2, b"a")),
        ),
        part(14, part(1, part(1, b"RAY_DASHBOARD_URI"), part(2, b"u")), part(2, b"n")),
        part(15, b"r"),
        part(17, part(1, b"a"), part(2, part(1, b"x."), part(2, b"p"), part(3, b"n"))),
        whole(18, 1),
        whole(19, 1),
    ]
)


def test_a_full_resource_has_the_bytes_of_the_protocol() -> None:
    assert BETA.encode("PersistentResource", FULL) == GOLDEN
    assert BETA.decode("PersistentResource", GOLDEN) == FULL


def test_v1_has_the_same_numbers_and_fewer_fields() -> None:
    shown = Messages("v1").decode("PersistentResource", GOLDEN)
    expected = json.loads(json.dumps(FULL))
    del expected["satisfiesPzs"], expected["satisfiesPzi"]
    del expected["resourceRuntimeSpec"]["raySpec"]["nfsMounts"]
    del expected["resourceRuntime"]["notebookRuntimeTemplate"]
    machine = expected["resourcePools"][0]["machineSpec"]
    del machine["multihostGpuNodeCount"], machine["minGpuDriverVersion"]
    assert shown == expected
    assert present(FULL, "v1", "PersistentResource", False) == expected
    assert from_json("v1", "PersistentResource", FULL) == expected
    assert Messages("v1").encode("PersistentResource", FULL) == Messages("v1").encode("PersistentResource", expected)


@pytest.mark.parametrize(
    ("name", "canonical", "data"),
    [
        ("GetPersistentResourceRequest", {"name": "n"}, part(1, b"n")),
        ("DeletePersistentResourceRequest", {"name": "n"}, part(1, b"n")),
        ("RebootPersistentResourceRequest", {"name": "n"}, part(1, b"n")),
        (
            "CreatePersistentResourceRequest",
            {"parent": "p", "persistentResource": {}, "persistentResourceId": "i"},
            part(1, b"p") + part(2) + part(3, b"i"),
        ),
        (
            "ListPersistentResourcesRequest",
            {"parent": "p", "pageSize": 5, "pageToken": "t"},
            part(1, b"p") + whole(3, 5) + part(4, b"t"),
        ),
        (
            "ListPersistentResourcesResponse",
            {"persistentResources": [{"name": "n"}], "nextPageToken": "t"},
            part(1, part(1, b"n")) + part(2, b"t"),
        ),
        (
            "UpdatePersistentResourceRequest",
            {"persistentResource": {"name": "n"}, "updateMask": "resourcePools.replicaCount,labels"},
            part(1, part(1, b"n")) + part(2, part(1, b"resource_pools.replica_count"), part(1, b"labels")),
        ),
        (
            "CreatePersistentResourceOperationMetadata",
            {"genericMetadata": {"partialFailures": [{"code": 1}], "createTime": "1970-01-01T00:00:01Z"}, "progressMessage": "x"},
            part(1, part(1, whole(1, 1)), part(2, whole(1, 1))) + part(2, b"x"),
        ),
        ("UpdatePersistentResourceOperationMetadata", {"progressMessage": "x"}, part(2, b"x")),
        ("RebootPersistentResourceOperationMetadata", {"progressMessage": "x"}, part(2, b"x")),
        (
            "DeleteOperationMetadata",
            {"genericMetadata": {"updateTime": "1970-01-01T00:00:01Z"}},
            part(1, part(3, whole(1, 1))),
        ),
        ("GetOperationRequest", {"name": "n"}, part(1, b"n")),
        ("CancelOperationRequest", {"name": "n"}, part(1, b"n")),
        ("DeleteOperationRequest", {"name": "n"}, part(1, b"n")),
        (
            "WaitOperationRequest",
            {"name": "n", "timeout": "2.500s"},
            part(1, b"n") + part(2, whole(1, 2), whole(2, 500_000_000)),
        ),
        (
            "ListOperationsRequest",
            {"filter": "f", "pageSize": 1, "pageToken": "t", "name": "n"},
            part(1, b"f") + whole(2, 1) + part(3, b"t") + part(4, b"n"),
        ),
        ("ListOperationsResponse", {"operations": [{"name": "n"}], "nextPageToken": "t"}, part(1, part(1, b"n")) + part(2, b"t")),
        ("GetProjectRequest", {"name": "projects/p"}, part(1, b"projects/p")),
        (
            "Project",
            {"name": "projects/1", "parent": "o", "projectId": "p", "state": "ACTIVE", "displayName": "d"},
            part(1, b"projects/1") + part(2, b"o") + part(3, b"p") + whole(4, 1) + part(5, b"d"),
        ),
        ("Status", {"code": 5, "message": "m"}, whole(1, 5) + part(2, b"m")),
        ("Empty", {}, b""),
    ],
)  # fmt: skip
def test_other_messages_have_the_bytes_of_the_protocol(name: str, canonical: dict[str, Any], data: bytes) -> None:
    for version in VERSIONS:
        assert Messages(version).encode(name, canonical) == data
        assert Messages(version).decode(name, data) == canonical


def test_operations_say_what_they_hold() -> None:
    metadata = BETA.pack("CreatePersistentResourceOperationMetadata", {"progressMessage": "provisioning"})
    assert metadata["@type"] == (
        "type.googleapis.com/google.cloud.aiplatform.v1beta1.CreatePersistentResourceOperationMetadata"
    )
    operation = {
        "name": "n",
        "metadata": metadata,
        "done": True,
        "response": pack("v1", "PersistentResource", {"name": "r"}),
    }
    v1 = b"type.googleapis.com/google.cloud.aiplatform.v1.PersistentResource"
    data = BETA.encode("Operation", operation)
    assert data.endswith(whole(3, 1) + part(5, part(1, v1), part(2, part(1, b"r"))))
    assert BETA.decode("Operation", data) == operation
    gone = {"done": True, "response": pack("v1", "Empty", {})}
    assert gone["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert BETA.encode("Operation", gone) == whole(3, 1) + part(
        5, part(1, b"type.googleapis.com/google.protobuf.Empty")
    )
    failed = {"name": "n", "done": True, "error": {"code": 9, "message": "m"}}
    assert BETA.decode("Operation", BETA.encode("Operation", failed)) == failed


def test_an_answer_has_names_or_numbers_everywhere() -> None:
    operation = {"response": pack("v1beta1", "PersistentResource", FULL)}
    assert present(operation, "v1beta1", "Operation", False) == operation
    shown = present(operation, "v1beta1", "Operation", True)["response"]
    assert shown["state"] == 3
    machine = shown["resourcePools"][0]["machineSpec"]
    assert (machine["acceleratorType"], machine["reservationAffinity"]["reservationAffinityType"]) == (5, 3)
    page = {"persistentResources": [{"state": "ERROR"}, {"state": "STATE_UNSPECIFIED"}, {}]}
    for as_numbers, state in ((True, 5), (False, "ERROR")):
        given = present(page, "v1", "ListPersistentResourcesResponse", as_numbers)
        assert given == {"persistentResources": [{"state": state}, {}, {}]}


def test_what_the_protocol_lacks_is_not_written() -> None:
    for write in (
        lambda: to_message("v1", "PersistentResource", {"resourcePools": [{"nope": 1}]}),
        lambda: present({"resourcePools": [{"nope": 1}]}, "v1", "PersistentResource", True),
    ):
        with pytest.raises(WireError) as caught:
            write()
        assert caught.value.path == "resourcePools[0]" and "nope" in caught.value.message
    with pytest.raises(LookupError):
        from_json("v1", "NoSuchMessage", {})


# JSON of clients


def resource(**fields: Any) -> dict[str, Any]:
    return from_json("v1beta1", "PersistentResource", fields)


def test_a_create_request_of_the_sdk_is_read() -> None:
    sent = {
        "resourcePools": [
            {
                "id": "worker-pool1",
                "machineSpec": {"machineType": "n1-standard-4", "acceleratorType": 5, "acceleratorCount": 1},
                "replicaCount": "2",
                "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100},
            }
        ],
        "labels": {"a": "b"},
        "resourceRuntimeSpec": {"raySpec": {"rayMetricSpec": {}, "rayLogsSpec": {"disabled": False}}},
    }
    read = resource(**sent)
    expected = json.loads(json.dumps(sent))
    expected["resourcePools"][0]["machineSpec"]["acceleratorType"] = "NVIDIA_TESLA_T4"
    expected["resourceRuntimeSpec"]["raySpec"]["rayLogsSpec"] = {}
    assert read == expected
    assert list(read) == ["resourcePools", "labels", "resourceRuntimeSpec"]


def test_snake_case_is_read_like_camel_case() -> None:
    snake = {"resource_pools": [{"machine_spec": {"machine_type": "m"}, "replica_count": 1}], "display_name": "d"}
    assert resource(**snake) == {
        "displayName": "d",
        "resourcePools": [{"machineSpec": {"machineType": "m"}, "replicaCount": "1"}],
    }


@pytest.mark.parametrize("count", [3, "3", 3.0, "003"])
def test_integers_may_be_numbers_or_text(count: object) -> None:
    pool = {"replicaCount": count, "machineSpec": {"acceleratorCount": count}}
    assert resource(resourcePools=[pool]) == {
        "resourcePools": [{"machineSpec": {"acceleratorCount": 3}, "replicaCount": "3"}]
    }


def test_zero_is_kept_where_it_differs_from_absent() -> None:
    pool = {"replicaCount": 0, "usedReplicaCount": "0", "autoscalingSpec": {"minReplicaCount": 0}, "id": ""}
    assert resource(resourcePools=[pool]) == {
        "resourcePools": [{"replicaCount": "0", "autoscalingSpec": {"minReplicaCount": "0"}}]
    }


def test_null_is_absent() -> None:
    assert resource(resourcePools=None, labels=None, state=None, encryptionSpec=None, createTime=None, error=None) == {}


def test_unknown_fields_are_ignored() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert resource(next={"a": deep}, resourcePools=[{"id": "p", "ID": 4}]) == {"resourcePools": [{"id": "p"}]}
    assert from_json("v1", "PersistentResource", {"satisfiesPzs": "not even a flag"}) == {}


def test_every_field_of_the_whole_resource_may_be_scrambled() -> None:
    def scramble(value: Any) -> Any:
        if isinstance(value, dict):
            pairs = reversed(list(value.items()))
            return {schema.snake(key) if len(key) > 1 else key: scramble(item) for key, item in pairs}
        return [scramble(item) for item in value] if isinstance(value, list) else value

    scrambled = scramble({key: item for key, item in FULL.items() if key not in ("resourceRuntime", "error")})
    expected = {key: item for key, item in FULL.items() if key not in ("resourceRuntime", "error")}
    assert resource(**scrambled) == expected
    assert list(resource(**scrambled)) == list(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T08:21:18Z", "2026-11-21T08:21:18Z"),
        ("2026-11-21T08:21:18.215137Z", "2026-11-21T08:21:18.215137Z"),
        ("2026-11-21T10:21:18.2+02:00", "2026-11-21T08:21:18.200Z"),
        ("2026-11-21T08:21:18.1234567-00:30", "2026-11-21T08:51:18.123456700Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_times(text: str, expected: str) -> None:
    read = resource(createTime=text)
    assert read == {"createTime": expected}
    assert to_canonical(to_message("v1beta1", "PersistentResource", read)) == read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", "1s"),
        ("0s", "0s"),
        ("-0s", "0s"),
        ("1.5s", "1.500s"),
        ("-0.5s", "-0.500s"),
        ("-3.000000001s", "-3.000000001s"),
    ],
)
def test_spans(text: str, expected: str) -> None:
    read = from_json("v1", "WaitOperationRequest", {"timeout": text})
    assert read == {"timeout": expected}
    assert to_canonical(to_message("v1", "WaitOperationRequest", read)) == read


def test_masks() -> None:
    read = from_json(
        "v1", "UpdatePersistentResourceRequest", {"updateMask": "resource_pools.replica_count, displayName,"}
    )
    assert read == {"updateMask": "resourcePools.replicaCount,displayName"}
    assert mask_paths(read["updateMask"]) == ("resource_pools.replica_count", "display_name")
    assert mask_paths("") == ()
    assert from_json("v1", "UpdatePersistentResourceRequest", {"updateMask": ""}) == {"updateMask": ""}
    assert Messages("v1").decode("UpdatePersistentResourceRequest", part(2)) == {"updateMask": ""}


POOL = "resourcePools[1]"
METRICS = "resourceRuntimeSpec.raySpec.rayMetricSpec.disabled"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"displayName": 5}, "displayName"),
        ({"display_name": ["x"]}, "displayName"),
        ({"displayName": "\ud800"}, "displayName"),
        ({"labels": []}, "labels"),
        ({"labels": {"a": 1}}, 'labels["a"]'),
        ({"labels": {"a": None}}, 'labels["a"]'),
        ({"labels": {"\udfff": "x"}}, 'labels["\\udfff"]'),
        ({"labels": {"k" * 1000: 1}}, 'labels["' + "k" * 40 + '..."]'),
        ({"resourcePools": {}}, "resourcePools"),
        ({"resourcePools": "x"}, "resourcePools"),
        ({"resourcePools": [None]}, "resourcePools[0]"),
        ({"resourcePools": [{}, []]}, POOL),
        ({"resourcePools": [{}, {"replicaCount": 1.5}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": "1_0"}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": " 1"}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": ""}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": "٣"}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": True}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": 1 << 63}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": "9" * 100_000}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": 10**5000}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": 1e300}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": float("nan")}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"replicaCount": float("inf")}]}, f"{POOL}.replicaCount"),
        ({"resourcePools": [{}, {"machineSpec": {"acceleratorCount": 1 << 31}}]}, f"{POOL}.machineSpec.acceleratorCount"),
        ({"resourcePools": [{}, {"machine_spec": {"accelerator_type": 19}}]}, f"{POOL}.machineSpec.acceleratorType"),
        ({"resourcePools": [{}, {"machineSpec": {"acceleratorType": -1}}]}, f"{POOL}.machineSpec.acceleratorType"),
        ({"resourcePools": [{}, {"machineSpec": {"acceleratorType": "T4"}}]}, f"{POOL}.machineSpec.acceleratorType"),
        ({"resourcePools": [{}, {"machineSpec": {"acceleratorType": True}}]}, f"{POOL}.machineSpec.acceleratorType"),
        ({"resourcePools": [{}, {"machineSpec": {"acceleratorType": {}}}]}, f"{POOL}.machineSpec.acceleratorType"),
        ({"resourcePools": [{}, {"machineSpec": {"acceleratorType": 1e300}}]}, f"{POOL}.machineSpec.acceleratorType"),
        ({"state": 2}, "state"),
        ({"state": float("nan")}, "state"),
        ({"resourceRuntimeSpec": {"raySpec": {"rayMetricSpec": {"disabled": "true"}}}}, METRICS),
        ({"resourceRuntimeSpec": {"raySpec": {"rayMetricSpec": {"disabled": 1}}}}, METRICS),
        ({"reservedIpRanges": [1]}, "reservedIpRanges[0]"),
        ({"displayName": "a", "display_name": "a"}, "displayName"),
        ({"displayName": None, "display_name": "a"}, "displayName"),
        ({"createTime": 5}, "createTime"),
        ({"createTime": {}}, "createTime"),
        ({"createTime": "yesterday"}, "createTime"),
        ({"createTime": "2026-02-30T00:00:00Z"}, "createTime"),
        ({"createTime": "0000-01-01T00:00:00Z"}, "createTime"),
        ({"createTime": "0001-01-01T00:00:00+00:01"}, "createTime"),
        ({"createTime": "2026-01-01T00:00:00+24:00"}, "createTime"),
        ({"createTime": "2026-01-01T00:00:00"}, "createTime"),
        ({"error": {"details": [{"a": 1}]}}, "error.details[0].@type"),
        ({"error": {"details": [{"@type": 5}]}}, "error.details[0].@type"),
        ({"error": {"details": [{"@type": "type.googleapis.com/no.Such"}]}}, "error.details[0].@type"),
        ({"error": {"details": [{"@type": "type.googleapis.com/google.protobuf.Any"}]}}, "error.details[0].@type"),
        ({"error": {"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": 1}]}}, "error.details[0].reason"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(WireError) as caught:
        resource(**fields)
    assert caught.value.path == path
    assert str(caught.value) == f"{path}: {caught.value.message}"
    assert len(str(caught.value)) < 1000
    str(caught.value).encode()


@pytest.mark.parametrize("value", [None, [], "x", 5, True, 1.5])
def test_a_message_is_an_object(value: object) -> None:
    with pytest.raises(WireError) as caught:
        from_json("v1", "PersistentResource", value)
    assert caught.value.path == "" and str(caught.value) == "must be an object"


@pytest.mark.parametrize("timeout", ["1", "s", "1.s", ".5s", "1.0000000001s", "315576000001s", "1e3s", "∞s", 5])
def test_spans_that_the_protocol_has_not(timeout: object) -> None:
    with pytest.raises(WireError) as caught:
        from_json("v1", "WaitOperationRequest", {"timeout": timeout})
    assert caught.value.path == "timeout"


def test_one_of_a_choice() -> None:
    response = {"@type": "type.googleapis.com/google.protobuf.Empty"}
    with pytest.raises(WireError, match="has both"):
        from_json("v1", "Operation", {"error": {}, "response": response})
    assert from_json("v1", "Operation", {"error": None, "response": response}) == {"response": response}


def nested(depth: int) -> dict[str, Any]:
    status: dict[str, Any] = {"message": "innermost"}
    for _ in range(depth):
        status = {"details": [{"@type": "type.googleapis.com/google.rpc.Status", **status}]}
    return status


def test_what_is_nested_without_end_is_refused() -> None:
    assert from_json("v1", "Status", nested(10)) == nested(10)
    for depth in (100, 10_000):
        with pytest.raises(WireError, match="deep"):
            from_json("v1", "Status", nested(depth))
    data = Messages("v1").encode("Status", nested(10))
    for _ in range(2000):
        data = part(3, part(1, b"type.googleapis.com/google.rpc.Status"), part(2, data))
    with pytest.raises(WireError, match="deep"):
        Messages("v1").decode("Status", data)


# Messages of clients


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"\xff", ""),
        (part(1, b"\xff"), ""),
        (part(4, b"\x0a"), ""),
        (part(4) + part(4, part(2, whole(2, 19))), "resourcePools[1].machineSpec.acceleratorType"),
        (whole(5, 2), "state"),
        (whole(5, -1), "state"),
        (part(7, whole(1, 1 << 62)), "createTime"),
        (part(7, whole(2, -1)), "createTime"),
        (part(6, part(3, part(1, b"type.googleapis.com/no.Such"))), "error.details[0].@type"),
        (part(6, part(3, part(2, b"x"))), "error.details[0].@type"),
        (part(6, part(3, part(1, b"x/google.rpc.ErrorInfo"), part(2, b"\xff"))), "error.details[0]"),
    ],
)
def test_bytes_that_are_no_message_are_refused(data: bytes, path: str) -> None:
    with pytest.raises(WireError) as caught:
        BETA.decode("PersistentResource", data)
    assert caught.value.path == path


def test_unknown_fields_on_the_wire_are_ignored() -> None:
    assert BETA.decode("PersistentResource", part(1, b"n") + part(99, b"?") + whole(3, 7)) == {"name": "n"}


def test_an_any_may_be_empty() -> None:
    data = part(2) + part(6, part(3))
    assert BETA.decode("Operation", data) == {"metadata": {}}
    assert from_json("v1", "Operation", {"metadata": {}}) == {"metadata": {}}
    assert BETA.encode("Operation", {"metadata": {}}) == part(2)


def test_the_vendor_s_pool_stays_clean() -> None:
    program = (
        "from google.protobuf import descriptor_pool\n"
        "from heliostat.dialects.vertex.wire import Messages, messages\n"
        "assert messages._pool.cache_info().currsize == 0\n"
        "Messages('v1').encode('Operation', {'name': 'x'})\n"
        "for name in ('google.cloud.aiplatform.v1.PersistentResource', 'google.longrunning.Operation',"
        " 'google.rpc.Status', 'google.protobuf.Any'):\n"
        "    try:\n"
        "        descriptor_pool.Default().FindMessageTypeByName(name)\n"
        "    except KeyError:\n"
        "        continue\n"
        "    raise SystemExit(name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Against protobuf's own JSON


TEXTS = st.text(max_size=4)
MASK = st.from_regex(r"[a-z]{1,3}([A-Z][a-z]{1,2}){0,2}(\.[a-z]{1,3}){0,1}", fullmatch=True)
SPECIAL = {
    schema.TIMESTAMP: st.sampled_from(
        ["2026-11-21T08:21:18.215137Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.500Z"]
    ),
    schema.DURATION: st.sampled_from(["0s", "1s", "-1.500s", "315576000000s", "0.000000001s"]),
    schema.FIELD_MASK: st.lists(MASK, max_size=2).map(",".join),
}
PACKABLE = ["google.rpc.ErrorInfo", "google.protobuf.Empty", "google.cloud.aiplatform.v1.DeleteOperationMetadata"]


def field_values(field: schema.Field, left: int) -> st.SearchStrategy[Any]:
    if field.shape is Shape.MAP:
        return st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=2)
    one: st.SearchStrategy[Any]
    if field.kind is Kind.MESSAGE:
        one = held(field.of, left - 1)
    elif field.kind is Kind.ENUM:
        one = st.sampled_from([name for name, number in schema.ENUMERATIONS[field.of].items() if number])
    elif field.kind is Kind.INT64:
        one = st.integers(-(1 << 63), (1 << 63) - 1).filter(lambda n: bool(n) or field.known_presence).map(str)
    elif field.kind is Kind.INT32:
        one = st.integers(-(1 << 31), (1 << 31) - 1).filter(bool)
    elif field.kind is Kind.BOOL:
        one = st.just(True)
    else:
        one = st.text(min_size=0 if field.shape is Shape.MANY else 1, max_size=4)
    return st.lists(one, min_size=1, max_size=2) if field.shape is Shape.MANY else one


def held(name: str, left: int) -> st.SearchStrategy[Any]:
    if name == schema.ANY:
        return st.one_of(st.just({}), *(packed(inner, left) for inner in PACKABLE))
    return SPECIAL[name] if name in SPECIAL else contents(name, left)


def packed(name: str, left: int) -> st.SearchStrategy[dict[str, Any]]:
    return contents(name, left).map(lambda found: {"@type": schema.TYPES[name].type_url, **found})


def contents(name: str, left: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    """Canonical JSON of a message."""
    fields = {field.json: field_values(field, left) for field in schema.TYPES[name].fields if left > 0 or not field.of}
    drawn = st.fixed_dictionaries({}, optional=fields)
    return drawn.map(
        lambda found: {key: item for key, item in found.items() if key != "response" or "error" not in found}
    )


NAMES = [
    name for name in schema.TYPES if name not in schema.SPECIAL and not name.startswith("google.cloud.aiplatform.v1.")
]


def as_protobuf_writes(message: Message) -> dict[str, Any]:
    return cast("dict[str, Any]", json_format.MessageToDict(message, descriptor_pool=_pool()))


def test_round_trips_agree_with_protobuf_s_own_json() -> None:
    @settings(max_examples=250, deadline=None)
    @given(st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), contents(name))))
    def agrees(drawn: tuple[str, dict[str, Any]]) -> None:
        name, canonical = drawn
        message = to_message("v1beta1", name, canonical)
        assert to_canonical(message) == canonical
        assert BETA.decode(name, BETA.encode(name, canonical)) == canonical
        assert as_protobuf_writes(message) == canonical
        assert to_canonical(json_format.ParseDict(canonical, BETA.new(name), descriptor_pool=_pool())) == canonical
        assert from_json("v1beta1", name, json.loads(json.dumps(canonical))) == canonical
        assert present(canonical, "v1beta1", name, False) == canonical
        assert from_json("v1beta1", name, present(canonical, "v1beta1", name, True)) == canonical

    agrees()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(st.characters(categories=["Cs"]), max_size=1),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@st.composite
def broken(draw: st.DrawFn, name: str) -> Any:
    """A message's JSON with one value, anywhere, replaced by any other."""
    holder: Any = [draw(contents(name, 3))]
    root, key = holder, cast("Any", 0)
    while isinstance(holder[key], dict | list) and holder[key] and draw(st.booleans()):
        holder = holder[key]
        key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = draw(JSON_VALUES)
    return root[0]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["PersistentResource", "Operation", "UpdatePersistentResourceRequest"]), st.data())
def test_any_json_is_read_or_refused(name: str, data: st.DataObject) -> None:
    full = schema.find("v1beta1", name).name
    value = data.draw(JSON_VALUES | broken(full))
    try:
        read = from_json("v1beta1", name, value)
    except WireError:
        return
    assert to_canonical(to_message("v1beta1", name, read)) == read
    assert from_json("v1beta1", name, read) == read


def without(places: list[int]) -> bytes:
    return bytes(byte for place, byte in enumerate(GOLDEN) if place not in places)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.lists(st.integers(0, len(GOLDEN)), max_size=4).map(without))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read = BETA.decode("PersistentResource", data)
    except WireError:
        return
    assert BETA.decode("PersistentResource", BETA.encode("PersistentResource", read)) == read


def test_each_version_is_found() -> None:
    for version in VERSIONS:
        kind = schema.find(cast("Version", version), "PersistentResource")
        assert kind.name == f"google.cloud.aiplatform.{version}.PersistentResource"
        assert type(Messages(version).new("PersistentResource")).DESCRIPTOR.full_name == kind.name
    for name, kind in schema.TYPES.items():
        numbers = [field.number for field in kind.fields]
        assert numbers == sorted(set(numbers)), name
        described = _pool().FindMessageTypeByName(name)
        for field in kind.fields:
            assert described.fields_by_name[field.name].json_name == field.json
