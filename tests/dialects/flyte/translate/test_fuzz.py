"""Whatever comes in, it is a wish that can be stored or an error of Flyte's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from flyteidl.core import tasks_pb2
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.dialects.flyte.errors import INVALID_ARGUMENT, NOT_FOUND, FlyteError
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.dialects.flyte.translate.submission import submission
from heliostat.domain.validation import errors

from .templates import INSTALLATION, real, template, wish
from .test_submission import PLACE

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.floats(allow_nan=False), st.integers(-5, 5), TEXT,
    st.sampled_from(["1", "500m", "2Gi", "nvidia.com/gpu", "ray-head", "ray-worker", "w", ".", "s3://b/x", "a: 1"]),
)  # fmt: skip
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
NAMES = {
    "rayCluster": ["headGroupSpec", "workerGroupSpec", "enableAutoscaling", "autoscalerOptions"],
    "headGroupSpec": ["rayStartParams", "k8sPod"],
    "workerGroupSpec": ["groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "k8sPod"],
    "autoscalerOptions": ["upscalingMode", "idleTimeoutSeconds", "env", "image"],
    "rayStartParams": ["num-cpus", "block", "resources", "labels", "port", "no-monitor", "memory"],
    "k8sPod": ["podSpec", "metadata", "primaryContainerName"],
    "metadata": ["labels"],
    "podSpec": ["containers", "tolerations", "volumes"],
    "containers": ["name", "image", "env", "resources", "args", "command"],
    "env": ["name", "value", "valueFrom"],
    "valueFrom": ["secretKeyRef"],
    "secretKeyRef": ["name", "key", "optional"],
    "resources": ["requests", "limits"],
    "requests": ["cpu", "memory", "nvidia.com/gpu", "gpu", "ephemeral-storage"],
    "limits": ["cpu", "memory", "nvidia.com/gpu", "amd.com/gpu"],
}
LISTS = {"workerGroupSpec", "containers", "env"}
QUANTITY = st.sampled_from(["1", "500m", "2Gi", 1.0, 0.5, "0", 2])
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds"), st.integers(0, 9).map(float)),
    **dict.fromkeys(("enableAutoscaling", "optional"), st.booleans()),
    **dict.fromkeys(NAMES["requests"] + NAMES["limits"], QUANTITY),
    **dict.fromkeys(("args", "command"), st.lists(TEXT, min_size=1, max_size=2)),
    **dict.fromkeys(("tolerations", "volumes"), st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=2)),
    **dict.fromkeys(("num-cpus", "memory", "port"), st.sampled_from(["1", "2000000000"])),
    "groupName": st.sampled_from(["w", "x", "gpu"]),
    "name": st.sampled_from(["ray-head", "ray-worker", "A", "main"]),
    "upscalingMode": st.sampled_from(["UPSCALING_MODE_AGGRESSIVE", 2.0, "new"]),
    "labels": st.just({}),
}
"""What belongs into a field that holds no object."""


def near(name: str) -> st.SearchStrategy[Any]:
    """Mostly what belongs there, with something else now and then."""
    if name not in NAMES:
        fitting = LEAVES.get(name, TEXT)
        return st.integers(0, 40).flatmap(lambda luck: JSON if luck == 40 else fitting)
    shape: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional={key: near(key) for key in NAMES[name]})
    if name in LISTS:
        shape = st.lists(shape, max_size=2)
    return st.integers(0, 40).flatmap(lambda luck: JSON if luck == 40 else shape)


CUSTOM = st.fixed_dictionaries(
    {},
    optional={
        "rayCluster": near("rayCluster"),
        "runtimeEnv": st.sampled_from(["", "e30=", "x", None, 1]),
        "runtimeEnvYaml": st.sampled_from(["", "pip: [a]", "working_dir: s3://b/x", "env_vars:", "a: [", None]),
        "shutdownAfterJobFinishes": st.booleans(),
        "ttlSecondsAfterFinished": st.sampled_from([0, 9.0, "5", None, 2.5]),
    },
)


def check(given: Any) -> None:
    try:
        made = wish(given)
    except FlyteError as error:
        assert error.status in (INVALID_ARGUMENT, NOT_FOUND)
        assert error.path or error.status == NOT_FOUND
        return
    queues = {made.cluster.head.queue}
    problems = [
        row for row in errors(replace(made.cluster, name="a"), INSTALLATION, queues) if row.path != "head.queue"
    ]
    assert [row for row in problems if "idle_timeout" not in str(row.path)] == [], "a cluster that can be"
    json.dumps(dict(submission(made, PLACE, FlyteSettings(), "rj-1").runtime_env))
    assert all(made.warnings)


@given(CUSTOM)
@settings(max_examples=200, deadline=None)
def test_any_custom(custom: dict[str, Any]) -> None:
    check(template(custom))


@given(near("podSpec"), near("containers"))
@settings(max_examples=150, deadline=None)
def test_any_pod(spec: Any, containers: Any) -> None:
    spec = spec if isinstance(spec, dict) else {}
    if isinstance(containers, list) and containers and isinstance(containers[0], dict):
        containers = [{"args": ["x"], **containers[0], "name": "main"}, *containers[1:]]
    check(template(k8sPod={"podSpec": {**spec, "containers": containers}, "primaryContainerName": "main"}))


@given(st.binary(max_size=40), st.integers(0, 2000), st.sampled_from(["full", "podded"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_that_are_a_template(noise: bytes, at: int, name: str) -> None:
    data = real(name).SerializeToString(deterministic=True)
    at %= len(data)
    given = tasks_pb2.TaskTemplate()
    try:
        given.ParseFromString(data[:at] + noise + data[at + len(noise) :])
    except DecodeError:
        return
    check(given)


def test_a_struct_without_end_is_refused() -> None:
    deep = Struct()
    place = deep
    for _ in range(500):
        place = place.fields["rayCluster"].struct_value
    given = template()
    given.custom.CopyFrom(deep)
    check(given)
    assert json_format.MessageToDict(template().custom) == {}
