"""The API's methods as a table, for both transports: what each takes, what it gives, and what does it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from heliostat.services import Services

from .call import Call, Json
from .calls import Calls
from .holding import Holds
from .operation_calls import OperationCalls
from .project_calls import ProjectCalls
from .settings import VertexSettings
from .translate.context import Context

RESOURCES = "PersistentResourceService"
OPERATIONS = "google.longrunning.Operations"
PROJECTS = "google.cloud.resourcemanager.v3.Projects"
HOLDING = frozenset(("GetPersistentResource", "WaitOperation"))
"""Methods whose answers may be held; they change nothing, so they may be cancelled."""

Perform = Callable[[Call, Json], Coroutine[Any, Any, Json]]


@dataclass(frozen=True)
class Method:
    """One method of a service. Messages are named as in :mod:`.wire`."""

    service: str
    name: str
    request: str
    answer: str
    perform: Perform


class Methods:
    """The methods of one server, by name. ``holds`` are the calls that wait for something."""

    def __init__(self, services: Services, settings: VertexSettings) -> None:
        context = Context(services.installation, settings)
        self.holds = Holds(services.operations.changed, settings.hold_seconds, look_seconds=settings.look_seconds)
        resources = Calls(services, context, self.holds)
        operations = OperationCalls(services, context, self.holds)
        projects = ProjectCalls(services)
        rows = (
            _resource("Create", "Operation", resources.create),
            _resource("Get", "PersistentResource", resources.get),
            _resource("Update", "Operation", resources.update),
            _resource("Delete", "Operation", resources.delete),
            _resource("Reboot", "Operation", resources.reboot),
            Method(
                RESOURCES,
                "ListPersistentResources",
                "ListPersistentResourcesRequest",
                "ListPersistentResourcesResponse",
                resources.list,
            ),
            _operation("Get", "Operation", operations.get),
            _operation("Wait", "Operation", operations.wait),
            _operation("Cancel", "Empty", operations.cancel),
            _operation("Delete", "Empty", operations.delete),
            Method(OPERATIONS, "ListOperations", "ListOperationsRequest", "ListOperationsResponse", operations.list),
            Method(PROJECTS, "GetProject", "GetProjectRequest", "Project", projects.get),
        )
        self.by_name: Mapping[str, Method] = {row.name: row for row in rows}


def _resource(verb: str, answer: str, perform: Perform) -> Method:
    return Method(RESOURCES, f"{verb}PersistentResource", f"{verb}PersistentResourceRequest", answer, perform)


def _operation(verb: str, answer: str, perform: Perform) -> Method:
    return Method(OPERATIONS, f"{verb}Operation", f"{verb}OperationRequest", answer, perform)
