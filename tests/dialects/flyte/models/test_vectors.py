"""The vectors of the Flyte contract, sections 2.1 to 2.4."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flyteidl.core import tasks_pb2
from flyteidl.plugins import ray_pb2

from heliostat.dialects.flyte import models
from heliostat.dialects.flyte.models import (
    AutoscalerOptions,
    FlyteModel,
    HeadGroupSpec,
    K8sObjectMetadata,
    K8sPod,
    RayCluster,
    RayJob,
    Resources,
    WorkerGroupSpec,
    upstream_quirks,
)

HEADER = "Flyte Serialized object ({}):\n"
MODE = AutoscalerOptions.UpscalingMode
CPU = Resources.ResourceEntry(Resources.ResourceName.CPU, "1")
PIP = base64.b64encode(json.dumps({"pip": ["numpy"]}).encode()).decode()
FULL_JOB = RayJob(
    RayCluster([WorkerGroupSpec("w", 1, 0, 3)], HeadGroupSpec({"a": "b"}), True),
    runtime_env=PIP,
    runtime_env_yaml="pip:\n- numpy\n",
    ttl_seconds_after_finished=100,
    shutdown_after_job_finishes=True,
)


@pytest.mark.parametrize(
    ("given", "stored", "wire"),
    [
        ((5, None, None), (5, 5), "0a0167100518052005"),
        ((5, 2, 10), (2, 10), "0a016710051802200a"),
        ((5, 8, 3), (5, 5), "0a0167100518052005"),
        ((5, 0, 0), (0, 5), "0a016710052005"),
        ((0, None, None), (0, 0), "0a0167"),
        ((0, 3, 4), (0, 4), "0a01672004"),
        ((5, -1, None), (-1, 5), "0a0167100518ffffffffffffffffff012005"),
        ((-1,), (-1, -1), "0a016710ffffffffffffffffff0118ffffffffffffffffff0120ffffffffffffffffff01"),
        ((None,), (None, None), "0a0167"),
    ],
)
def test_the_bounds_enclose_the_replicas(given: tuple[Any, ...], stored: tuple[Any, Any], wire: str) -> None:
    group = WorkerGroupSpec("g", *given)
    assert (group.min_replicas, group.max_replicas) == stored
    assert group.serialize_to_string().hex() == wire


@pytest.mark.parametrize(
    ("model", "wire"),
    [
        (WorkerGroupSpec("wg", 2), "0a027767100218022002"),
        (WorkerGroupSpec("", 0), ""),
        (WorkerGroupSpec(None, 1), "100118012001"),  # type: ignore[arg-type]
        (HeadGroupSpec(), ""),
        (HeadGroupSpec({}), ""),
        (HeadGroupSpec({"num-cpus": "0"}), "0a0d0a086e756d2d63707573120130"),
        (AutoscalerOptions(), ""),
        (
            AutoscalerOptions(MODE.AGGRESSIVE, 30, "img", {"K": "V", "A": "B"}, Resources(requests=[CPU], limits=[])),
            "0802101e1a060a014b1201561a060a01411201422203696d672a070a050801120131",
        ),
        (AutoscalerOptions(env={}), ""),
        (AutoscalerOptions(env={"A": "B"}, resources=Resources([], [])), "1a060a01411201422a00"),
        (AutoscalerOptions(99), "0863"),
        (AutoscalerOptions("UPSCALING_MODE_DEFAULT"), "0801"),
        (RayCluster([]), ""),
        (RayCluster([WorkerGroupSpec("w", 1)], HeadGroupSpec(), True), "0a0012090a01771001180120011801"),
        (RayJob(RayCluster([])), "0a00"),
        (
            FULL_JOB,
            "0a150a080a060a016112016212070a0177100120031801121865794a77615841694f694262496d353162584235496c313918"
            "0120642a0d7069703a0a2d206e756d70790a",
        ),
        (K8sPod(), ""),
        (K8sPod(pod_spec={}), ""),
        (K8sPod(metadata=K8sObjectMetadata()), "0a00"),
    ],
)
def test_bytes(model: FlyteModel, wire: str) -> None:
    expected = bytes.fromhex(wire)
    assert type(model.serialize_to_string()) is bytes
    assert model.serialize_to_string() == expected
    assert model.is_empty == (not expected)


def test_a_pod_is_a_struct_inside() -> None:
    containers = [{"name": "ray-head", "resources": {"requests": {"cpu": "1"}}}]
    pod = K8sPod(K8sObjectMetadata({"a": "b"}), {"containers": containers}, primary_container_name="ray-head")
    head = HeadGroupSpec({"x": "y"}, pod)
    assert len(head.serialize_to_string()) == 119
    again = HeadGroupSpec.from_flyte_idl(head.to_flyte_idl())
    assert again.k8s_pod is not None and again.k8s_pod.pod_spec == {"containers": containers}
    assert again.k8s_pod.primary_container_name == "ray-head" and again == head


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: WorkerGroupSpec("g", "2", 1), TypeError, "'<' not supported between instances of 'int' and 'str'"),
        (lambda: WorkerGroupSpec("g", "2").to_flyte_idl(), TypeError, "cannot be interpreted as an integer"),
        (lambda: WorkerGroupSpec("g", 2.0).to_flyte_idl(), TypeError, "cannot be interpreted as an integer"),
        (lambda: WorkerGroupSpec("g", True).to_flyte_idl(), TypeError, "Expected an int, got a boolean"),
        (lambda: WorkerGroupSpec("g", 2**31).to_flyte_idl(), ValueError, "Value out of range: 2147483648"),
        (lambda: HeadGroupSpec({1: "a"}).to_flyte_idl(), TypeError, ""),
        (lambda: HeadGroupSpec({"a": 1}).to_flyte_idl(), TypeError, ""),
        (lambda: RayCluster(None).to_flyte_idl(), TypeError, "not iterable"),
        (lambda: RayJob(None).to_flyte_idl(), AttributeError, "'NoneType' object has no attribute 'to_flyte_idl'"),
        (lambda: AutoscalerOptions("Aggressive").to_flyte_idl(), ValueError, "unknown enum label"),
        (lambda: setattr(RayJob(None), "runtime_env", ""), AttributeError, "property 'runtime_env' of 'RayJob' object"),
        (
            lambda: setattr(CPU, "name", 2),
            AttributeError,
            "property 'name' of 'Resources.ResourceEntry' object has no setter",
        ),
        (FlyteModel, TypeError, "abstract"),
    ],
)
def test_errors(wrong: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        wrong()
    assert words.lower() in str(caught.value).lower()


def test_nothing_is_checked_before_the_message_is_made() -> None:
    assert WorkerGroupSpec("g", "2").replicas == "2"  # type: ignore[arg-type]


READ = {
    "WorkerGroupSpec": ray_pb2.WorkerGroupSpec,
    "RayCluster": ray_pb2.RayCluster,
    "RayJob": ray_pb2.RayJob,
    "K8sPod": tasks_pb2.K8sPod,
    "AutoscalerOptions": ray_pb2.AutoscalerOptions,
}


@pytest.mark.parametrize(
    ("name", "wire", "lossless", "upstream"),
    [
        ("WorkerGroupSpec", "0a01671003", "0a016710032003", "0a016710032003"),
        ("WorkerGroupSpec", "100318092001", "100318032003", "100318032003"),
        ("RayCluster", "", "", "0a002200"),
        ("RayCluster", "0a00", "0a00", "0a002200"),
        ("RayJob", "", "", "0a040a002200"),
        ("RayJob", "0a00", "0a00", "0a040a002200"),
        ("RayJob", "0a020a00", "0a020a00", "0a040a002200"),
        ("K8sPod", "", "", "0a00"),
        ("K8sPod", "220170", "220170", "0a00"),
        ("AutoscalerOptions", "", "", ""),
    ],
)
def test_what_is_read_is_written_again(name: str, wire: str, lossless: str, upstream: str) -> None:
    read = getattr(models, name).from_flyte_idl
    message = READ[name].FromString(bytes.fromhex(wire))
    assert read(message).serialize_to_string().hex() == lossless
    with upstream_quirks():
        assert read(message).serialize_to_string().hex() == upstream
        with upstream_quirks(False):
            assert read(message).serialize_to_string().hex() == lossless
    assert read(message).serialize_to_string().hex() == lossless


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(models, "STRICT_UPSTREAM_QUIRKS", True)
    yield


def test_the_switch_of_the_package_holds_everywhere_but_in_blocks(switched: None) -> None:
    assert RayCluster.from_flyte_idl(ray_pb2.RayCluster()).head_group_spec == HeadGroupSpec()
    with upstream_quirks(False):
        assert RayCluster.from_flyte_idl(ray_pb2.RayCluster()).head_group_spec is None


def test_what_is_absent_stays_absent() -> None:
    job = RayJob.from_flyte_idl(ray_pb2.RayJob())
    assert (job.ray_cluster, job.runtime_env, job.ttl_seconds_after_finished) == (None, "", 0) and job.is_empty
    options = AutoscalerOptions.from_flyte_idl(ray_pb2.AutoscalerOptions())
    assert (options.env, options.image, options.upscaling_mode, options.resources) == (None, "", 0, None)
    with upstream_quirks():
        assert RayJob.from_flyte_idl(ray_pb2.RayJob()).ray_cluster is not None


def test_start_parameters_are_a_copy() -> None:
    message = ray_pb2.HeadGroupSpec(ray_start_params={"a": "b"})
    read = HeadGroupSpec.from_flyte_idl(message)
    with upstream_quirks():
        live = HeadGroupSpec.from_flyte_idl(message)
    message.ray_start_params["a"] = "c"
    assert read.ray_start_params == {"a": "b"} and type(read.ray_start_params) is dict
    assert live.ray_start_params == {"a": "c"}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (WorkerGroupSpec("wg", 2), ["group_name: wg", "replicas: 2", "min_replicas: 2", "max_replicas: 2"]),
        (
            RayCluster([WorkerGroupSpec("w", 1)], HeadGroupSpec(), True),
            [
                'worker_group_spec: [group_name: "w" replicas: 1 min_replicas: 1 max_replicas: 1 ]',
                "enable_autoscaling: True",
            ],
        ),
        (RayJob(RayCluster([]), runtime_env_yaml="pip:\n- numpy\n"), ["runtime_env_yaml: pip: - numpy"]),
        (
            RayJob(RayCluster([], HeadGroupSpec({"a": "b"}))),
            ["ray_cluster:", "  head_group_spec:", "    ray_start_params: {'a': 'b'}"],
        ),
        (AutoscalerOptions(MODE.AGGRESSIVE), ["upscaling_mode: 2"]),
        (AutoscalerOptions(image="x" * 81), ["image: [...]"]),
        (AutoscalerOptions(image="x" * 80), ["image: " + "x" * 80]),
        (AutoscalerOptions(image="word " * 20), ["image: " + "word " * 14 + "word [...]"]),
        (HeadGroupSpec(), []),
        (RayCluster([], HeadGroupSpec()), []),
    ],
)
def test_strings(model: FlyteModel, body: list[str]) -> None:
    name = type(model).__name__
    expected = HEADER.format(name) + "\n".join("  " + line for line in body)
    assert model.short_string() == model.verbose_string() == str(model) == expected
    assert model._repr_html_() == f"<h4>{name}</h4><pre>" + "\n".join(body) + "</pre>"
    assert repr(model) == str(model.to_flyte_idl())


def test_equality() -> None:
    assert HeadGroupSpec() == HeadGroupSpec({})
    other: object = AutoscalerOptions()
    assert HeadGroupSpec() != other and hash(HeadGroupSpec()) == hash(other)
    assert HeadGroupSpec() != HeadGroupSpec().to_flyte_idl() and HeadGroupSpec() is not None
    assert not RayJob(RayCluster([])).is_empty
    assert repr(HeadGroupSpec()) == ""


def test_models_can_be_copied_and_kept() -> None:
    job = RayJob.from_flyte_idl(FULL_JOB.to_flyte_idl())
    for again in (copy.copy(job), copy.deepcopy(job), pickle.loads(pickle.dumps(job))):
        assert again == job and {again, job} == {job}


def test_flyteidl_and_protobuf_are_all_that_is_needed() -> None:
    program = (
        "import sys; from heliostat.dialects.flyte.models import RayJob\n"
        "print(*{name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    loaded = {name for name in told if not name.startswith(("_", "sitecustomize"))}
    assert loaded <= {"heliostat", "flyteidl", "google", "protoc_gen_openapiv2", "grpc"}, loaded
