"""The protocol's messages as data: the Vertex contract's section 4.1, and the well-known types that they need.

v1 and v1beta1 come from one table; fields that only v1beta1 has are marked ``beta``. :data:`TYPES` holds every message of
both versions by its full name, with references resolved, and :func:`find` the one that a short name means in a version.
Rows are in the order of their numbers, which is the order of fields in canonical JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cached_property
from typing import Literal

from ..models import AcceleratorType, PersistentResourceState, ReservationAffinityType
from ..models.enumerations import ApiEnumeration

Version = Literal["v1", "v1beta1"]
VERSIONS: tuple[Version, ...] = ("v1", "v1beta1")
ANY, TIMESTAMP, DURATION, FIELD_MASK = (
    f"google.protobuf.{name}" for name in ("Any", "Timestamp", "Duration", "FieldMask")
)
SPECIAL = frozenset({ANY, TIMESTAMP, DURATION, FIELD_MASK})
"""Messages whose JSON is not an object of their fields."""

_TYPES_URL = "type.googleapis.com/"


class Kind(Enum):
    STRING = auto()
    BYTES = auto()
    BOOL = auto()
    INT32 = auto()
    INT64 = auto()
    ENUM = auto()
    MESSAGE = auto()


class Shape(Enum):
    ONE = auto()
    OPTIONAL = auto()  # a scalar that tells absent from its default
    MANY = auto()
    MAP = auto()  # of text to text; the protocol has no other here


@dataclass(frozen=True)
class Field:
    """A field of a message. ``of`` is the full name of its message or enumeration; ``choice`` its oneof."""

    name: str
    number: int
    kind: Kind
    of: str = ""
    shape: Shape = Shape.ONE
    beta: bool = False
    choice: str = ""

    @cached_property
    def json(self) -> str:
        """The name in JSON."""
        return camel(self.name)

    @property
    def known_presence(self) -> bool:
        """Whether "absent" and "default" differ for this field, so that defaults are written, too."""
        return self.shape is Shape.OPTIONAL or (self.shape is Shape.ONE and self.kind is Kind.MESSAGE)


@dataclass(frozen=True)
class MessageType:
    """A message: its full name, its fields by number, and the keys of fields that only another version has."""

    name: str
    fields: tuple[Field, ...]
    of_other_versions: frozenset[str] = frozenset()

    @cached_property
    def by_key(self) -> Mapping[str, Field]:
        """The fields by both of their spellings."""
        return {key: field for field in self.fields for key in (field.name, field.json)}

    @property
    def type_url(self) -> str:
        """What an Any calls this message."""
        return _TYPES_URL + self.name


def camel(snake: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), snake)


def snake(camel: str) -> str:
    return re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), camel)


def _text(name: str, number: int, *, many: bool = False, beta: bool = False) -> Field:
    return Field(name, number, Kind.STRING, shape=Shape.MANY if many else Shape.ONE, beta=beta)


def _map(name: str, number: int) -> Field:
    return Field(name, number, Kind.STRING, shape=Shape.MAP)


def _flag(name: str, number: int, *, beta: bool = False) -> Field:
    return Field(name, number, Kind.BOOL, beta=beta)


def _int32(name: str, number: int, *, beta: bool = False) -> Field:
    return Field(name, number, Kind.INT32, beta=beta)


def _int64(name: str, number: int, *, optional: bool = False) -> Field:
    return Field(name, number, Kind.INT64, shape=Shape.OPTIONAL if optional else Shape.ONE)


def _enum(name: str, number: int, of: str) -> Field:
    return Field(name, number, Kind.ENUM, of)


def _one(name: str, number: int, of: str, *, choice: str = "") -> Field:
    return Field(name, number, Kind.MESSAGE, of, choice=choice)


def _many(name: str, number: int, of: str, *, beta: bool = False) -> Field:
    return Field(name, number, Kind.MESSAGE, of, Shape.MANY, beta)


_Table = dict[str, tuple[Field, ...]]

# Names without a dot before them are of the same package.
_VERTEX: _Table = {
    "PersistentResource": (
        _text("name", 1),
        _text("display_name", 2),
        _many("resource_pools", 4, "ResourcePool"),
        _enum("state", 5, "PersistentResource.State"),
        _one("error", 6, ".google.rpc.Status"),
        _one("create_time", 7, ".google.protobuf.Timestamp"),
        _one("start_time", 8, ".google.protobuf.Timestamp"),
        _one("update_time", 9, ".google.protobuf.Timestamp"),
        _map("labels", 10),
        _text("network", 11),
        _one("encryption_spec", 12, "EncryptionSpec"),
        _one("resource_runtime_spec", 13, "ResourceRuntimeSpec"),
        _one("resource_runtime", 14, "ResourceRuntime"),
        _text("reserved_ip_ranges", 15, many=True),
        _one("psc_interface_config", 17, "PscInterfaceConfig"),
        _flag("satisfies_pzs", 18, beta=True),
        _flag("satisfies_pzi", 19, beta=True),
    ),
    "ResourcePool": (
        _text("id", 1),
        _one("machine_spec", 2, "MachineSpec"),
        _int64("replica_count", 3, optional=True),
        _one("disk_spec", 4, "DiskSpec"),
        _int64("used_replica_count", 6),
        _one("autoscaling_spec", 7, "ResourcePool.AutoscalingSpec"),
    ),
    "ResourcePool.AutoscalingSpec": (
        _int64("min_replica_count", 1, optional=True),
        _int64("max_replica_count", 2, optional=True),
    ),
    "MachineSpec": (
        _text("machine_type", 1),
        _enum("accelerator_type", 2, "AcceleratorType"),
        _int32("accelerator_count", 3),
        _text("tpu_topology", 4),
        _one("reservation_affinity", 5, "ReservationAffinity"),
        _int32("multihost_gpu_node_count", 6, beta=True),
        _text("gpu_partition_size", 7),
        _text("min_gpu_driver_version", 9, beta=True),
    ),
    "ReservationAffinity": (
        _enum("reservation_affinity_type", 1, "ReservationAffinity.Type"),
        _text("key", 2),
        _text("values", 3, many=True),
    ),
    "DiskSpec": (_text("boot_disk_type", 1), _int32("boot_disk_size_gb", 2)),
    "NfsMount": (_text("server", 1), _text("path", 2), _text("mount_point", 3)),
    "EncryptionSpec": (_text("kms_key_name", 1),),
    "PscInterfaceConfig": (_text("network_attachment", 1), _many("dns_peering_configs", 2, "DnsPeeringConfig")),
    "DnsPeeringConfig": (_text("domain", 1), _text("target_project", 2), _text("target_network", 3)),
    "ResourceRuntimeSpec": (
        _one("ray_spec", 1, "RaySpec"),
        _one("service_account_spec", 2, "ServiceAccountSpec"),
    ),
    "ServiceAccountSpec": (_flag("enable_custom_service_account", 1), _text("service_account", 2)),
    "RaySpec": (
        _text("image_uri", 1),
        _map("resource_pool_images", 6),
        _text("head_node_resource_pool_id", 7),
        _one("ray_metric_spec", 8, "RayMetricSpec"),
        _one("ray_logs_spec", 10, "RayLogsSpec"),
        _many("nfs_mounts", 11, "NfsMount", beta=True),
    ),
    "RayMetricSpec": (_flag("disabled", 1),),
    "RayLogsSpec": (_flag("disabled", 1),),
    "ResourceRuntime": (_map("access_uris", 1), _text("notebook_runtime_template", 2, beta=True)),
    "CreatePersistentResourceRequest": (
        _text("parent", 1),
        _one("persistent_resource", 2, "PersistentResource"),
        _text("persistent_resource_id", 3),
    ),
    "GetPersistentResourceRequest": (_text("name", 1),),
    "DeletePersistentResourceRequest": (_text("name", 1),),
    "RebootPersistentResourceRequest": (_text("name", 1),),
    "ListPersistentResourcesRequest": (_text("parent", 1), _int32("page_size", 3), _text("page_token", 4)),
    "ListPersistentResourcesResponse": (
        _many("persistent_resources", 1, "PersistentResource"),
        _text("next_page_token", 2),
    ),
    "UpdatePersistentResourceRequest": (
        _one("persistent_resource", 1, "PersistentResource"),
        _one("update_mask", 2, ".google.protobuf.FieldMask"),
    ),
    "GenericOperationMetadata": (
        _many("partial_failures", 1, ".google.rpc.Status"),
        _one("create_time", 2, ".google.protobuf.Timestamp"),
        _one("update_time", 3, ".google.protobuf.Timestamp"),
    ),
    **{
        f"{call}PersistentResourceOperationMetadata": (
            _one("generic_metadata", 1, "GenericOperationMetadata"),
            _text("progress_message", 2),
        )
        for call in ("Create", "Update", "Reboot")
    },
    "DeleteOperationMetadata": (_one("generic_metadata", 1, "GenericOperationMetadata"),),
}
_VERTEX_ENUMERATIONS: dict[str, type[ApiEnumeration]] = {
    "AcceleratorType": AcceleratorType,
    "PersistentResource.State": PersistentResourceState,
    "ReservationAffinity.Type": ReservationAffinityType,
}
_SHARED: dict[str, _Table] = {
    "google.protobuf": {
        "Any": (_text("type_url", 1), Field("value", 2, Kind.BYTES)),
        "Timestamp": (_int64("seconds", 1), _int32("nanos", 2)),
        "Duration": (_int64("seconds", 1), _int32("nanos", 2)),
        "FieldMask": (_text("paths", 1, many=True),),
        "Empty": (),
    },
    "google.rpc": {
        "Status": (_int32("code", 1), _text("message", 2), _many("details", 3, ".google.protobuf.Any")),
        "ErrorInfo": (_text("reason", 1), _text("domain", 2), _map("metadata", 3)),
        "RetryInfo": (_one("retry_delay", 1, ".google.protobuf.Duration"),),
    },
    "google.longrunning": {
        "Operation": (
            _text("name", 1),
            _one("metadata", 2, ".google.protobuf.Any"),
            _flag("done", 3),
            _one("error", 4, ".google.rpc.Status", choice="result"),
            _one("response", 5, ".google.protobuf.Any", choice="result"),
        ),
        "GetOperationRequest": (_text("name", 1),),
        "CancelOperationRequest": (_text("name", 1),),
        "DeleteOperationRequest": (_text("name", 1),),
        "WaitOperationRequest": (_text("name", 1), _one("timeout", 2, ".google.protobuf.Duration")),
        "ListOperationsRequest": (
            _text("filter", 1),
            _int32("page_size", 2),
            _text("page_token", 3),
            _text("name", 4),
        ),
        "ListOperationsResponse": (_many("operations", 1, "Operation"), _text("next_page_token", 2)),
    },
    "google.cloud.resourcemanager.v3": {
        "GetProjectRequest": (_text("name", 1),),
        "Project": (
            _text("name", 1),
            _text("parent", 2),
            _text("project_id", 3),
            _enum("state", 4, "Project.State"),
            _text("display_name", 5),
            _one("create_time", 6, ".google.protobuf.Timestamp"),
            _one("update_time", 7, ".google.protobuf.Timestamp"),
            _one("delete_time", 8, ".google.protobuf.Timestamp"),
            _text("etag", 9),
            _map("labels", 10),
        ),
    },
}
PACKAGES: tuple[str, ...] = (*_SHARED, *(f"google.cloud.aiplatform.{version}" for version in VERSIONS))
"""Each after those that it refers to."""

ENUMERATIONS: Mapping[str, Mapping[str, int]] = {
    "google.cloud.resourcemanager.v3.Project.State": {"STATE_UNSPECIFIED": 0, "ACTIVE": 1, "DELETE_REQUESTED": 2},
    **{
        f"google.cloud.aiplatform.{version}.{name}": {member.value: member.number for member in members}
        for version in VERSIONS
        for name, members in _VERTEX_ENUMERATIONS.items()
    },
}
"""Names to numbers, by the full name of the enumeration."""

ENUMERATION_NAMES: Mapping[str, Mapping[int, str]] = {
    full: {number: name for name, number in members.items()} for full, members in ENUMERATIONS.items()
}


def _expand(package: str, table: _Table, *, beta: bool) -> Iterator[MessageType]:
    for name, rows in table.items():
        fields = [
            replace(row, of=row.of[1:] if row.of.startswith(".") else f"{package}.{row.of}") if row.of else row
            for row in rows
            if beta or not row.beta
        ]
        others = frozenset(key for row in rows if row.beta and not beta for key in (row.name, row.json))
        yield MessageType(f"{package}.{name}", tuple(fields), others)


TYPES: Mapping[str, MessageType] = {
    found.name: found
    for found in (
        *(kind for package, table in _SHARED.items() for kind in _expand(package, table, beta=True)),
        *(
            kind
            for version in VERSIONS
            for kind in _expand(f"google.cloud.aiplatform.{version}", _VERTEX, beta=version == "v1beta1")
        ),
    )
}


def find(version: Version, name: str) -> MessageType:
    """The message that a name means: a full one, one of the version's package, or one of the shared packages."""
    for prefix in ("", f"google.cloud.aiplatform.{version}.", *(f"{package}." for package in _SHARED)):
        if (found := TYPES.get(prefix + name)) is not None:
            return found
    raise LookupError(f"the protocol has no message {name}")


def of_type_url(url: str) -> MessageType | None:
    """The message that an Any holds, if it is one that an Any may hold here."""
    found = TYPES.get(url.rpartition("/")[2])
    return None if found is None or found.name in SPECIAL else found
