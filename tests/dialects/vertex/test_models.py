"""The client models: each row of the interface that a generated client has, and round trips of all of them."""

from __future__ import annotations

import json
import pprint
import re
import subprocess
import sys
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import StrictStr, ValidationError

from heliostat.dialects.vertex import models
from heliostat.dialects.vertex.models import (
    AcceleratorType,
    PersistentResourceState,
    ReservationAffinityType,
)
from heliostat.dialects.vertex.models import GoogleCloudAiplatformV1beta1MachineSpec as MachineSpec
from heliostat.dialects.vertex.models import GoogleCloudAiplatformV1beta1NfsMount as NfsMount
from heliostat.dialects.vertex.models import GoogleCloudAiplatformV1beta1PersistentResource as PersistentResource
from heliostat.dialects.vertex.models import GoogleCloudAiplatformV1beta1RayMetricSpec as RayMetricSpec
from heliostat.dialects.vertex.models import GoogleCloudAiplatformV1beta1RaySpec as RaySpec
from heliostat.dialects.vertex.models import GoogleCloudAiplatformV1beta1ReservationAffinity as ReservationAffinity
from heliostat.dialects.vertex.models import GoogleRpcStatus as RpcStatus
from heliostat.dialects.vertex.models.generated_model import GeneratedModel

FULL = {
    "headNodeResourcePoolId": "head-node",
    "imageUri": "an/image:latest",
    "rayMetricSpec": {"disabled": True},
    "resourcePoolImages": {"head-node": "a", "worker-pool1": "b"},
}
MODELS = [getattr(models, name) for name in models.__all__ if name.startswith("Google")]


def read(value: object) -> RaySpec:
    spec = RaySpec.from_dict(value)
    assert spec is not None
    return spec


# What the class gives and takes


def test_a_constructor_takes_both_spellings_and_ignores_what_it_does_not_know() -> None:
    snake = RaySpec(image_uri="x", ray_metric_spec=RayMetricSpec(disabled=False))
    camel = RaySpec(imageUri="x", rayMetricSpec={"disabled": False}, somethingElse=1)
    assert snake == camel
    assert snake.image_uri == "x" and snake.ray_metric_spec == RayMetricSpec(disabled=False)
    assert not hasattr(camel, "somethingElse")


def test_every_attribute_is_optional() -> None:
    for model in MODELS:
        assert model().to_dict() == {}
        assert all(value is None for _, value in model())


def test_from_dict_reads_the_names_of_the_schema() -> None:
    spec = read(FULL)
    assert spec.head_node_resource_pool_id == "head-node"
    assert spec.image_uri == "an/image:latest"
    assert spec.ray_metric_spec is not None and spec.ray_metric_spec.disabled is True
    assert spec.resource_pool_images == {"head-node": "a", "worker-pool1": "b"}


def test_from_dict_drops_snake_and_unknown_keys_at_every_level() -> None:
    given = {
        "image_uri": "x",
        "unknown": 1,
        "rayMetricSpec": {"Disabled": True, "no": 1},
        "nfsMounts": [{"mount_point": "m"}],
    }
    spec = read(given)
    assert spec == RaySpec(ray_metric_spec=RayMetricSpec(), nfs_mounts=[NfsMount()])
    assert spec.to_dict() == {"rayMetricSpec": {}, "nfsMounts": [{}]}


def test_none_stays_none() -> None:
    assert RaySpec.from_dict(None) is None
    assert RaySpec.from_json("null") is None
    assert read({"imageUri": None, "rayMetricSpec": None, "nfsMounts": None}) == RaySpec()


def test_from_dict_passes_an_instance_through() -> None:
    spec = RaySpec(image_uri="x")
    assert RaySpec.from_dict(spec) is spec


@pytest.mark.parametrize("wrong", [[], [FULL], "text", 5, True, RayMetricSpec()])
def test_from_dict_refuses_what_is_no_dict(wrong: object) -> None:
    with pytest.raises(ValidationError):
        RaySpec.from_dict(wrong)
    for value in ([], "x", 1):
        with pytest.raises(ValidationError):
            RaySpec.from_dict({"rayMetricSpec": value})
    for value in ({}, "x", 1, ["x"], [None], [[]]):
        with pytest.raises(ValidationError):
            RaySpec.from_dict({"nfsMounts": value})


def test_from_json_of_bad_text() -> None:
    with pytest.raises(json.JSONDecodeError):
        RaySpec.from_json("{")
    with pytest.raises(ValidationError):
        RaySpec.from_json("[]")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("imageUri", 5),
        ("imageUri", b"x"),
        ("headNodeResourcePoolId", True),
        ("resourcePoolImages", {"a": 1}),
        ("resourcePoolImages", {"a": None}),
        ("resourcePoolImages", []),
        ("rayMetricSpec", {"disabled": "true"}),
        ("rayMetricSpec", {"disabled": 1}),
    ],
)
def test_types_are_strict(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        RaySpec.from_dict({field: value})
    with pytest.raises(ValidationError):
        RaySpec(**{field: value})


def test_assignment_is_checked() -> None:
    spec = RaySpec()
    spec.image_uri = "x"
    assert spec.to_dict() == {"imageUri": "x"}
    for name, value in (("image_uri", 5), ("ray_metric_spec", []), ("imageUri", "y"), ("no_such", 1)):
        with pytest.raises(ValidationError):
            setattr(spec, name, value)
    with pytest.raises(ValueError):
        spec.image_uri = 5  # type: ignore[assignment]
    assert spec == RaySpec(image_uri="x")
    spec.image_uri = None
    assert spec.to_dict() == {}


def test_to_dict_leaves_out_none_and_keeps_what_is_empty() -> None:
    assert RaySpec().to_dict() == {}
    assert read({"rayMetricSpec": {}}).to_dict() == {"rayMetricSpec": {}}
    assert read({"resourcePoolImages": {}, "nfsMounts": [], "imageUri": ""}).to_dict() == {
        "resourcePoolImages": {}, "nfsMounts": [], "imageUri": "",
    }  # fmt: skip
    assert RayMetricSpec(disabled=False).to_dict() == {"disabled": False}


def test_to_dict_is_a_copy() -> None:
    spec = read(FULL)
    copy = spec.to_dict()
    copy["resourcePoolImages"]["new"] = "x"
    copy["rayMetricSpec"]["disabled"] = False
    assert spec.to_dict() == FULL


def test_to_json_has_the_order_of_the_schema() -> None:
    scrambled = dict(reversed(list(FULL.items())))
    assert read(scrambled).to_json() == json.dumps(FULL)
    whole = {
        **FULL,
        "rayLogsSpec": {"disabled": False},
        "nfsMounts": [{"mountPoint": "m", "path": "/p", "server": "s"}],
    }
    assert read(whole).to_json() == json.dumps(whole)
    assert RaySpec().to_json() == "{}"


def test_the_example_of_the_page_runs_as_it_stands() -> None:
    text = "{}"
    instance = RaySpec.from_json(text)
    assert RaySpec.to_json() == "{}"
    assert instance is not None
    assert instance.to_json() == "{}"
    as_dict = instance.to_dict()
    assert RaySpec.from_dict(as_dict) == instance
    assert RaySpec.to_json(RaySpec(image_uri="x")) == '{"imageUri": "x"}'
    for model in MODELS:
        assert model.to_json() == "{}"


def test_to_str_shows_everything() -> None:
    assert RaySpec(image_uri="x").to_str() == pprint.pformat(
        {
            "headNodeResourcePoolId": None, "imageUri": "x", "rayMetricSpec": None, "resourcePoolImages": None,
            "rayLogsSpec": None, "nfsMounts": None,
        }
    )  # fmt: skip
    assert RayMetricSpec().to_str() == "{'disabled': None}"


def test_repr_and_equality_are_those_of_pydantic() -> None:
    assert repr(RayMetricSpec(disabled=True)) == "GoogleCloudAiplatformV1beta1RayMetricSpec(disabled=True)"
    assert str(RayMetricSpec(disabled=True)) == "disabled=True"
    assert "image_uri='x'" in repr(RaySpec(image_uri="x"))
    assert RayMetricSpec(disabled=True) != RayMetricSpec()
    assert RayMetricSpec() != models.GoogleCloudAiplatformV1beta1RayLogsSpec()


def test_a_subclass_of_a_child_is_asked_for_its_own_dict() -> None:
    class Loud(RayMetricSpec):
        def to_dict(self) -> dict[str, Any]:
            return {"loud": True}

    assert RaySpec(ray_metric_spec=Loud()).to_dict() == {"rayMetricSpec": {"loud": True}}


# All models


def test_each_class_has_its_file() -> None:
    assert len(MODELS) == 18
    for model in MODELS:
        name = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", model.__name__).lower()
        assert model.__module__ == f"heliostat.dialects.vertex.models.{name}"


def test_aliases_are_the_camel_case_of_the_attributes() -> None:
    for model in MODELS:
        for name, field in model.model_fields.items():
            assert (field.alias or name) == re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def test_a_resource_as_the_server_shows_it() -> None:
    shown = {
        "createTime": "2026-11-21T08:21:18.215137Z",
        "error": {"code": 8, "details": [{"@type": "type.googleapis.com/x.Y", "a": None}], "message": "none left"},
        "labels": {"a": "b"},
        "name": "projects/123456789012/locations/us-central1/persistentResources/c1",
        "pscInterfaceConfig": {"dnsPeeringConfigs": [{"domain": "x."}], "networkAttachment": "n"},
        "resourcePools": [
            {
                "autoscalingSpec": {"maxReplicaCount": "3", "minReplicaCount": "0"},
                "diskSpec": {"bootDiskSizeGb": 100, "bootDiskType": "pd-ssd"},
                "id": "head-node",
                "machineSpec": {
                    "acceleratorCount": 1,
                    "acceleratorType": "NVIDIA_TESLA_T4",
                    "machineType": "n1-standard-4",
                },
                "replicaCount": "1",
            }
        ],
        "resourceRuntime": {"accessUris": {"RAY_DASHBOARD_URI": "localhost:9000/c/x"}},
        "resourceRuntimeSpec": {"raySpec": FULL, "serviceAccountSpec": {"enableCustomServiceAccount": False}},
        "state": "ERROR",
    }
    page = models.GoogleCloudAiplatformV1beta1ListPersistentResourcesResponse.from_dict(
        {"persistentResources": [shown]}
    )
    assert page is not None and page.persistent_resources is not None
    [resource] = page.persistent_resources
    assert resource.resource_pools is not None and resource.resource_pools[0].machine_spec is not None
    assert resource.resource_pools[0].machine_spec.accelerator_type == AcceleratorType.NVIDIA_TESLA_T4
    assert resource.state == PersistentResourceState.ERROR
    assert json.loads(resource.to_json()) == shown
    assert page.to_json() == json.dumps({"persistentResources": [shown]})


# Enumerations


def test_enumerations_are_text_that_knows_its_number() -> None:
    spec = MachineSpec(accelerator_type=AcceleratorType.NVIDIA_TESLA_T4, accelerator_count=1)
    assert spec.to_json() == '{"acceleratorCount": 1, "acceleratorType": "NVIDIA_TESLA_T4"}'
    assert AcceleratorType.NVIDIA_TESLA_T4 == "NVIDIA_TESLA_T4"
    assert AcceleratorType.NVIDIA_TESLA_T4.number == 5
    assert AcceleratorType.of(18) is AcceleratorType.NVIDIA_RTX_PRO_6000
    assert AcceleratorType("TPU_V2") is AcceleratorType.of("TPU_V2") is AcceleratorType.of(6)
    assert [state.number for state in PersistentResourceState] == [0, 1, 3, 4, 5, 6, 7]
    assert ReservationAffinityType.of(3) is ReservationAffinityType.SPECIFIC_RESERVATION
    assert [kind.number for kind in AcceleratorType] == list(range(19))
    for wrong in (2, "running", True, -1):
        with pytest.raises(ValueError, match="PersistentResourceState"):
            PersistentResourceState.of(wrong)


@pytest.mark.parametrize(
    ("model", "field"),
    [(MachineSpec, "acceleratorType"), (ReservationAffinity, "reservationAffinityType"), (PersistentResource, "state")],
)
def test_a_model_refuses_names_that_an_enumeration_has_not(model: type[GeneratedModel], field: str) -> None:
    for wrong in ("NO_SUCH", 5, ""):
        with pytest.raises(ValidationError):
            model.from_dict({field: wrong})
    with pytest.raises(ValidationError, match="must be one of enum values"):
        model.from_dict({field: "no_such"})


# Round trips

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
ENUMERATIONS = {
    "accelerator_type": AcceleratorType,
    "state": PersistentResourceState,
    "reservation_affinity_type": ReservationAffinityType,
}


def values_of(name: str, annotation: Any) -> st.SearchStrategy[Any]:
    if name in ENUMERATIONS:
        return st.sampled_from([member.value for member in ENUMERATIONS[name]])
    if isinstance(annotation, type) and issubclass(annotation, GeneratedModel):
        return instances(annotation)
    if get_origin(annotation) is list:
        return st.lists(values_of(name, get_args(annotation)[0]), max_size=2)
    if get_origin(annotation) is dict:
        inner = JSON_VALUES if get_args(annotation)[1] is Any else st.text(max_size=3)
        return st.dictionaries(st.text(max_size=3), inner, max_size=2)
    base = get_args(annotation)[0] if get_args(annotation) else annotation
    if annotation == StrictStr or base is str:
        return st.text(max_size=5)
    return {bool: st.booleans(), int: st.integers()}[base]


def instances(model: type[GeneratedModel]) -> st.SearchStrategy[GeneratedModel]:
    """Instances with any of their attributes set."""
    fields = {}
    for name, field in model.model_fields.items():
        [annotation] = [part for part in get_args(field.annotation) if part is not type(None)]
        fields[name] = st.none() | values_of(name, annotation)
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: model(**chosen))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_round_trips(model: type[GeneratedModel]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(instances(model))
    def check(instance: GeneratedModel) -> None:
        assert model.from_dict(instance.to_dict()) == instance
        text = instance.to_json()
        again = model.from_json(text)
        assert again == instance and again is not None
        assert again.to_json() == text
        assert json.loads(text) == instance.to_dict()
        declared = [field.alias or name for name, field in model.model_fields.items()]
        assert [name for name in declared if name in instance.to_dict()] == list(instance.to_dict())

    check()


@settings(max_examples=100, deadline=None)
@given(JSON_VALUES)
def test_any_json_is_read_or_refused(value: Any) -> None:
    for model in (RaySpec, RpcStatus):
        try:
            model.from_dict(value)
            model.from_json(json.dumps(value))
        except ValidationError:
            pass


def test_the_models_need_nothing_of_the_server() -> None:
    program = (
        "import sys, heliostat.dialects.vertex.models\n"
        "heavy = ('sqlalchemy', 'grpc', 'fastapi', 'starlette', 'google.protobuf')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
