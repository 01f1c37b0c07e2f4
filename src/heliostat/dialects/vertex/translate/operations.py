"""Operations as google.longrunning has them (Vertex contract, section 1.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from heliostat.domain.engine import Step
from heliostat.domain.operations import Kind, Operation
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.states import State, Wanted
from heliostat.services import ClusterView, OperationView
from heliostat.services.google_identity import LOCATION

from ..names import OperationName, ResourceName
from .context import Context
from .fields import Json, only
from .resource import instant, resource_id, write_resource
from .states import CODES

TYPES = "type.googleapis.com/"
EMPTY = f"{TYPES}google.protobuf.Empty"
DEFAULT_VERSION = "v1beta1"
_METADATA = {
    Kind.CREATE: "CreatePersistentResourceOperationMetadata",
    Kind.UPDATE: "UpdatePersistentResourceOperationMetadata",
    Kind.REBOOT: "RebootPersistentResourceOperationMetadata",
    Kind.DELETE: "DeleteOperationMetadata",
}
_GOING_ON = {
    Kind.CREATE: "provisioning",
    Kind.UPDATE: "updating",
    Kind.REBOOT: "rebooting",
    Kind.DELETE: "deleting",
}


def write_operation(view: OperationView, project_number: int, context: Context) -> Json:
    """An operation, canonical. Its types are of the API version that it was asked for with."""
    operation = view.operation
    package = f"{TYPES}google.cloud.aiplatform.{operation.label.get('version', DEFAULT_VERSION)}."
    resource = _resource(view, project_number, context)
    name = OperationName(resource.project, resource.location, operation.id, resource.resource)
    updated = operation.ended_at or _latest(view)
    metadata: Json = {
        "@type": package + _METADATA[operation.kind],
        "genericMetadata": {"createTime": instant(operation.created_at), "updateTime": instant(updated)},
    }
    if operation.kind is not Kind.DELETE:
        metadata |= only(progressMessage=_progress(view))
    shown: Json = {"name": str(name), "metadata": metadata}
    if operation.open:
        return shown
    shown["done"] = True
    if operation.failure is not None:
        message = operation.message or str(operation.failure)
        return shown | {"error": {"code": CODES[operation.failure], "message": message}}
    if operation.kind is Kind.DELETE:
        return shown | {"response": {"@type": EMPTY}}
    present = _present(view)
    return shown | {
        "response": {"@type": f"{package}PersistentResource"} | write_resource(present, str(resource), None, context)
    }


def _resource(view: OperationView, project_number: int, context: Context) -> ResourceName:
    """The resource's name as the caller had it, also when it has another one now."""
    label = view.operation.label
    location = label.get("location") or LOCATION
    resource = label.get("resource") or resource_id(view.cluster or _snapshot(view.operation))
    return ResourceName(str(project_number), location, resource)


def _present(view: OperationView) -> ClusterView:
    return ClusterView(view.cluster or _snapshot(view.operation), view.instance if view.cluster else None)


def _snapshot(operation: Operation) -> Cluster:
    """The cluster of an operation that outlived it, as it was when the operation had brought it there."""
    return Cluster(
        id=operation.cluster, workspace=operation.workspace, spec=operation.spec, generation=operation.generation,
        wanted=Wanted.RUNNING, state=State.RUNNING, message="ok", modified=False, instance=None,
        creator=operation.creator, creator_name="", modifier=operation.creator, modifier_name="",
        created_at=operation.cluster_created_at, modified_at=operation.created_at,
    )  # fmt: skip


def _latest(view: OperationView) -> datetime:
    """When something was last heard of what is under way."""
    times = [view.operation.created_at]
    if view.instance is not None and view.cluster is not None and view.instance.id == view.cluster.instance:
        for row in view.instance.progress:
            times += [row.started_at, *([row.ended_at] if row.ended_at else [])]
    return max(times)


def _progress(view: OperationView) -> str:
    """What is going on, in words."""
    operation, cluster = view.operation, view.cluster
    if operation.failure is not None:
        return operation.message or str(operation.failure)
    if not operation.open:
        return "done"
    told = "" if cluster is None or cluster.message == "ok" else cluster.message
    return told or _step(view.instance) or _GOING_ON[operation.kind]


def _step(instance: Instance | None) -> str:
    """The step that a start is at."""
    going_on = [row for row in instance.progress if row.ended_at is None] if instance is not None else []
    if not going_on or going_on[-1].step in _AT_REST:
        return ""
    return f"{_STEPS[going_on[-1].step]}{': ' if going_on[-1].detail else ''}{going_on[-1].detail}"


_AT_REST = (Step.UP, Step.FAILED)
_STEPS: Mapping[Step, str] = {
    Step.QUEUED: "waiting for its turn",
    Step.ENVIRONMENT: "preparing the environment",
    Step.HEAD: "starting the head",
    Step.WORKERS: "starting workers",
}
