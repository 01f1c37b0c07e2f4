"""What a user asks for: the parts of a cluster's definition, and the JSON documents that are sent for them.

Every field left None is left out of the document, so that the server's default (on create) or the present value (on
update) holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from .errors import InvalidRequest

Document = Mapping[str, Any]
"""A JSON object; ``Any`` because it is JSON."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head node."""

    cpu: float | str | None = None
    """Cores: ``2``, ``0.5``, ``"500m"``."""
    memory: int | str | None = None
    """``"8Gi"``, ``"512Mi"``; a bare number is GiB."""
    gpu: str | None = None
    queue: str | None = None
    env: Mapping[str, str] | None = None
    ray_start_params: str | None = None
    """Options of ``ray start`` as text: ``"--num-cpus=0"``."""
    release: str | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerGroup:
    """Worker nodes of one shape."""

    name: str = "workers"
    replicas: int = 1
    min_replicas: int | None = None
    max_replicas: int | None = None
    type: str | None = None
    cpu: float | str | None = None
    memory: int | str | None = None
    gpu: str | None = None
    queue: str | None = None
    env: Mapping[str, str] | None = None
    ray_start_params: str | None = None
    release: str | None = None
    idle_timeout_seconds: int | None = None
    """The group's own idle time with autoscaling."""


@dataclass(frozen=True, kw_only=True)
class Autoscaling:
    enabled: bool = True
    idle_timeout_seconds: int | None = None
    """How long a worker must be idle before it goes."""
    upscaling: str | None = None
    """``Default``, ``Conservative`` or ``Aggressive``."""


@dataclass(frozen=True, kw_only=True)
class FaultTolerance:
    """Where the head keeps its state so that a new head can take over. The password is never given back."""

    enabled: bool = True
    redis_url: str | None = None
    redis_username: str | None = None
    redis_password: str | None = None


@dataclass(frozen=True, kw_only=True)
class NfsMount:
    """A network file system that nodes shall see at ``/mnt/nfs/<mount_point>``; the findings say what becomes of it."""

    server: str
    path: str
    """Absolute, on the server."""
    mount_point: str


class DefinitionFields(TypedDict, total=False):
    """Fields of a definition that create and update have in common."""

    description: str
    release: str
    """Name (``ray-1.3.1``), display text or Ray version (``2.60.0``) of a release."""
    head: Head | Document
    autoscaling: Autoscaling | Document | bool
    idle_stop_after: int | str | None
    """It is stopped when nothing has gone on on it for so many seconds, or for ``"30m"``; None or ``"never"``: it is not."""
    max_lifetime: int | str | None
    """It is stopped when this long has passed since its start, likewise."""
    priority: int
    """Of the starts that wait for a queue, those with more go first; -1000 to 1000."""
    fault_tolerance: FaultTolerance | Document | None
    network_service: str | None
    volumes: Sequence[str]
    nfs_mounts: Sequence[NfsMount | Document]
    metrics: bool
    """Its nodes export figures, and Prometheus is told where."""
    collect_logs: bool
    """Logs of its nodes and jobs are kept, to be read when it is gone."""
    labels: Mapping[str, str | None]
    """On update: merged into the present ones; None removes a label."""


class CreateFields(DefinitionFields, total=False):
    """What ``create`` takes besides the name. ``cpu`` to ``ray_start_params`` are for every node that is not given in full."""

    workers: int | Sequence[WorkerGroup | Document]
    """A number of workers of the shape below, or the worker groups in full."""
    cpu: float | str
    memory: int | str
    gpu: str
    queue: str
    env: Mapping[str, str]
    ray_start_params: str


class UpdateFields(DefinitionFields, total=False):
    """What ``update`` takes; what is absent stays as it is."""

    name: str
    workers: Sequence[WorkerGroup | Document]
    """Replaces the whole list of groups."""


_SHAPE = ("cpu", "memory", "gpu", "queue", "env", "ray_start_params")


def creation(name: str, given: CreateFields) -> dict[str, Any]:
    """The body of a create request. Raises InvalidRequest for a field that does not exist."""
    _known(given, CreateFields)
    shape = {key: given[key] for key in _SHAPE if key in given}  # type: ignore[literal-required]
    body: dict[str, Any] = {"name": name}
    body |= {key: _field(key, value) for key, value in given.items() if key not in (*_SHAPE, "workers", "head")}
    head = plain(given["head"]) if "head" in given else shape
    if head:
        body["head"] = head
    workers = given.get("workers", 0)
    if isinstance(workers, int):
        body["workers"] = [{"name": "workers", "replicas": workers} | shape] if workers else []
    else:
        body["workers"] = [shape | plain(group) for group in workers]
    return body


def change(given: UpdateFields) -> dict[str, Any]:
    """The merge patch of an update request."""
    _known(given, UpdateFields)
    return {key: _field(key, value) for key, value in given.items()}


def _field(key: str, value: Any) -> Any:
    """A field of a definition as JSON; ``autoscaling=True`` is short for an object."""
    return {"enabled": value} if key == "autoscaling" and isinstance(value, bool) else plain(value)


def plain(value: Any) -> Any:
    """A part of a definition as JSON: dataclasses become objects without their None fields."""
    if isinstance(value, Head | WorkerGroup | Autoscaling | FaultTolerance | NfsMount):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: plain(part) for name, part in pairs if part is not None}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(part) for part in value]
    return value


def _known(given: Mapping[str, Any], kind: type) -> None:
    known = kind.__annotations__.keys() | DefinitionFields.__annotations__.keys()
    for key in given:
        if key not in known:
            raise InvalidRequest(f"there is no such field; there are: {', '.join(sorted(known))}", path=key)
