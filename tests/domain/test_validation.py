"""Each rule of a spec: one bad spec, one path. The table is the contract's, in native names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from heliostat.domain.engine import Volume
from heliostat.domain.errors import InvalidSpec, MissingField
from heliostat.domain.installation import Installation
from heliostat.domain.mounts import mount_errors
from heliostat.domain.quantities import MAX_CORES, MAX_MEMORY
from heliostat.domain.spec import Autoscaling, ClusterSpec, FaultTolerance, NfsMount, NodeShape, WorkerGroup
from heliostat.domain.validation import check, errors

from .samples import SHAPE, SPEC

INSTALLATION = Installation(volumes={"vol-data": Volume("vol-data", "/data")})
QUEUES = {"root_queue", "dev"}
GROUP = SPEC.workers[0]
Change = Callable[[ClusterSpec], ClusterSpec]


def head(**changes: Any) -> Change:  # fields of NodeShape
    return lambda spec: replace(spec, head=replace(SHAPE, **changes))


def shape(**changes: Any) -> Change:
    return lambda spec: replace(spec, workers=(GROUP, WorkerGroup("second", replace(SHAPE, **changes))))


def group(**changes: Any) -> Change:  # fields of WorkerGroup
    return lambda spec: replace(spec, workers=(replace(GROUP, **changes),))


def whole(**changes: Any) -> Change:  # fields of ClusterSpec
    return lambda spec: replace(spec, **changes)


def scaled(**changes: Any) -> Change:
    return lambda spec: replace(spec, autoscaling=Autoscaling(True), workers=(replace(GROUP, **changes),))


BAD: list[tuple[str, Change]] = [
    ("name", whole(name="")),
    ("name", whole(name="  ")),
    ("name", whole(name="x" * 65)),
    ("name", whole(name="a\nb")),
    ("name", whole(name="a\0b")),
    ("description", whole(description="x" * 1025)),
    ("release", whole(release="")),
    ("release", whole(release="ray-9.9.9")),
    ("network_service", whole(network_service="elsewhere")),
    ("volumes[1]", whole(volumes=("vol-data", "vol-other"))),
    ("autoscaling.idle_timeout_seconds", whole(autoscaling=Autoscaling(False, 0))),
    ("autoscaling.idle_timeout_seconds", whole(autoscaling=Autoscaling(False, 7 * 86400 + 1))),
    ("fault_tolerance.redis_url", whole(fault_tolerance=FaultTolerance(True))),
    ("labels", whole(labels={f"k{number}": "" for number in range(65)})),
    ("labels.-a", whole(labels={"-a": ""})),
    ("labels._a", whole(labels={"_a": ""})),
    ("labels.a b", whole(labels={"a b": ""})),
    ("labels." + "a" * 254, whole(labels={"a" * 254: ""})),
    ("labels.", whole(labels={"": ""})),
    ("labels.a", whole(labels={"a": "x" * 64})),
    ("workers", whole(workers=tuple(replace(GROUP, name=f"g{number}") for number in range(51)))),
    ("workers[0].name", group(name="")),
    ("workers[0].name", group(name="a b")),
    ("workers[0].name", group(name="x" * 64)),
    ("workers[0].name", group(name="gr\u00fcn")),
    ("workers[1].name", whole(workers=(GROUP, GROUP))),
    ("workers[0].type", group(type="TPU")),
    ("workers[0].replicas", group(replicas=-1)),
    ("workers[0].replicas", group(replicas=1001)),
    ("workers[0].min_replicas", group(min_replicas=-1)),
    ("workers[0].max_replicas", group(max_replicas=1001)),
    ("workers[0].min_replicas", group(min_replicas=3, max_replicas=2)),
    ("workers[0].min_replicas", scaled(max_replicas=2)),
    ("workers[0].max_replicas", scaled(min_replicas=1)),
    ("workers[0].replicas", scaled(min_replicas=3, max_replicas=4)),
    ("workers[0].replicas", scaled(min_replicas=0, max_replicas=1)),
    *(
        (f"{path}.{field}", make(**{field: value}))
        for path, make in (("head", head), ("workers[1]", shape))
        for field, value in (
            ("queue", ""),
            ("queue", "elsewhere"),
            ("cpu", Decimal(0)),
            ("cpu", Decimal(-1)),
            ("cpu", Decimal("NaN")),
            ("cpu", Decimal("Infinity")),
            ("cpu", MAX_CORES + 1),
            ("memory", 0),
            ("memory", -1),
            ("memory", MAX_MEMORY + 1),
            ("gpu", "H9000"),
            ("env", {"1A": ""}),
            ("env", {"": ""}),
            ("env", {"A": "a\0b"}),
            ("env", {"A": "x" * (64 << 10)}),
            ("env", {"A": "\u00fc" * (32 << 10)}),
            ("release", "ray-9.9.9"),
            ("release", "ray-1.0.1"),
        )
    ),
]

GOOD: list[Change] = [
    whole(),
    whole(name="x" * 64),
    whole(name="ein Name \N{SUN BEHIND CLOUD}"),
    whole(release="2.60.0"),
    whole(workers=()),
    whole(volumes=("vol-data",), network_service="loopback"),
    whole(labels={"team": "", "example.com/team": "a"}),
    whole(labels={"\u00e9quipe-": "\u00fc", "\u6771\u4eac_1": ""}),
    head(gpu="NVIDIA_TESLA_T4-2"),
    whole(fault_tolerance=FaultTolerance(False)),
    whole(fault_tolerance=FaultTolerance(True, "redis://cache")),
    whole(autoscaling=Autoscaling(False, 60)),
    whole(workers=tuple(replace(GROUP, name=f"g{number}") for number in range(50))),
    group(min_replicas=5, max_replicas=9),
    group(replicas=0),
    scaled(min_replicas=2, max_replicas=2),
    head(queue="dev", gpu="ecs.gn6i-c4g1.xlarge", env={"A_1": "\u00fc"}, release="ray-1.3.1"),
    shape(release="ray-1.3.0"),
    head(cpu=MAX_CORES, memory=MAX_MEMORY),
]


@pytest.mark.parametrize(("path", "change"), BAD, ids=[f"{number}-{path}" for number, (path, _) in enumerate(BAD)])
def test_one_bad_field_is_named_and_no_other(path: str, change: Change) -> None:
    found = list(errors(change(SPEC), INSTALLATION, QUEUES))
    assert {error.path for error in found} == {path}
    assert all(error.message for error in found)
    with pytest.raises(InvalidSpec) as raised:
        check(change(SPEC), INSTALLATION, QUEUES)
    assert raised.value.path == path and str(raised.value).startswith(f"{path}: ")


@pytest.mark.parametrize("change", GOOD, ids=map(str, range(len(GOOD))))
def test_a_good_spec_passes(change: Change) -> None:
    assert list(errors(change(SPEC), INSTALLATION, QUEUES)) == []


def test_what_is_missing_is_told_from_what_is_wrong() -> None:
    spec = ClusterSpec("", "ray-1.3.1", NodeShape("", Decimal(1), 1), fault_tolerance=FaultTolerance(True))
    found = list(errors(spec, INSTALLATION, QUEUES))
    assert [error.path for error in found] == ["name", "fault_tolerance.redis_url", "head.queue"]
    assert all(isinstance(error, MissingField) and error.code == "missing" for error in found)


def test_a_reader_is_told_what_there_is_to_choose_from() -> None:
    spec = replace(SPEC, release="x", network_service="x", head=replace(SHAPE, queue="x", gpu="x"))
    text = "\n".join(str(error) for error in errors(spec, INSTALLATION, QUEUES))
    assert "ray-1.3.1 (Ray 2.60.0, Python 3.11)" in text
    assert "loopback" in text and "dev, root_queue" in text and "ecs.gn6i-c4g1.xlarge" in text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("server", "", "required"),
        ("server", "a b", "host name"),
        ("server", "-x", "host name"),
        ("server", "10.0.0.2:2049/x", "host name"),
        ("path", "", "required"),
        ("path", "exports", "absolute"),
        ("path", "/a/../b", r"'\.\.'"),
        ("path", "/a\n", "control"),
        ("path", "/" + "a" * 1024, "1024"),
        ("mount_point", "", "required"),
        ("mount_point", "/data", "relative"),
        ("mount_point", "../data", r"'\.\.'"),
        ("mount_point", "a//b", "single slashes"),
        ("mount_point", "data/", "single slashes"),
        ("mount_point", "a\0", "control"),
        ("mount_point", "a" * 256, "255"),
    ],
)
def test_what_is_wrong_with_a_network_file_system(field: str, value: str, words: str) -> None:
    good = NfsMount("10.0.0.2", "/exports", "data")
    found = list(mount_errors([good, replace(NfsMount("nfs.example.org", "/", "other/place"), **{field: value})]))
    assert [error.path for error in found] == [f"nfs_mounts[1].{field}"]
    assert re.search(words, found[0].message), found[0].message


def test_network_file_systems_that_can_be() -> None:
    servers = ["10.0.0.2", "nfs", "nfs-1.example.org", "fd00::2", "[fd00::2]"]
    assert not list(mount_errors([NfsMount(server, "/a b", f"p{at}") for at, server in enumerate(servers)]))
    [double] = mount_errors([NfsMount("a", "/a", "data"), NfsMount("b", "/b", "data")])
    assert (double.path, "second" in double.message) == ("nfs_mounts[1].mount_point", True)
    [many] = mount_errors([NfsMount("a", "/a", f"p{at}") for at in range(33)])
    assert many.path == "nfs_mounts"
    broken = replace(SPEC, nfs_mounts=(NfsMount("a", "a", "data"),))
    assert [error.path for error in errors(broken, INSTALLATION, QUEUES)] == ["nfs_mounts[0].path"]
