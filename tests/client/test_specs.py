"""What calls send."""

from __future__ import annotations

from typing import Any

import pytest

from heliostat.client import Autoscaling, FaultTolerance, Head, InvalidRequest, NfsMount, WorkerGroup
from heliostat.client.specs import change, creation


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, {"workers": []}),
        (
            {"workers": 2, "cpu": 1, "memory": "1Gi"},
            {
                "head": {"cpu": 1, "memory": "1Gi"},
                "workers": [{"name": "workers", "replicas": 2, "cpu": 1, "memory": "1Gi"}],
            },
        ),
        ({"workers": 0, "cpu": 2}, {"head": {"cpu": 2}, "workers": []}),
        (
            {"workers": [WorkerGroup(name="a", cpu=4), {"name": "b"}], "memory": "1Gi", "head": Head(cpu=2)},
            {
                "head": {"cpu": 2},
                "workers": [{"memory": "1Gi", "name": "a", "replicas": 1, "cpu": 4}, {"memory": "1Gi", "name": "b"}],
            },
        ),
        (
            {
                "autoscaling": Autoscaling(idle_timeout_seconds=5),
                "fault_tolerance": FaultTolerance(redis_url="redis://h"),
            },
            {
                "workers": [],
                "autoscaling": {"enabled": True, "idle_timeout_seconds": 5},
                "fault_tolerance": {"enabled": True, "redis_url": "redis://h"},
            },
        ),
        ({"autoscaling": True}, {"workers": [], "autoscaling": {"enabled": True}}),
        (
            {"nfs_mounts": [NfsMount(server="h", path="/x", mount_point="d")], "metrics": False, "collect_logs": False},
            {
                "workers": [],
                "nfs_mounts": [{"server": "h", "path": "/x", "mount_point": "d"}],
                "metrics": False,
                "collect_logs": False,
            },
        ),
        ({"volumes": ("v",), "labels": {"a": "b"}}, {"workers": [], "volumes": ["v"], "labels": {"a": "b"}}),
    ],
)
def test_create(fields: Any, body: dict[str, Any]) -> None:
    assert creation("demo", fields) == {"name": "demo", **body}


def test_update_sends_what_is_named_only() -> None:
    assert change({"description": "x", "labels": {"a": None}, "head": Head(cpu=2)}) == {
        "description": "x",
        "labels": {"a": None},
        "head": {"cpu": 2},
    }
    assert change({"fault_tolerance": None}) == {"fault_tolerance": None}
    assert change({"autoscaling": False}) == {"autoscaling": {"enabled": False}}


def test_a_misspelt_field_is_told_before_anything_is_sent() -> None:
    with pytest.raises(InvalidRequest) as caught:
        creation("demo", {"worker": 2})  # type: ignore[typeddict-unknown-key]
    assert caught.value.path == "worker" and "workers" in caught.value.message
    with pytest.raises(InvalidRequest):
        change({"cpu": 2})  # type: ignore[typeddict-unknown-key]
