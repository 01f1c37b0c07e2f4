"""The methods of AdminService for tasks."""

from __future__ import annotations

from flyteidl.admin import common_pb2 as common
from flyteidl.admin import task_pb2 as admin_tasks
from flyteidl.core import compiler_pb2 as compiled
from flyteidl.core import identifier_pb2 as identifiers

from heliostat.domain.documents import Document
from heliostat.domain.installation import Installation
from heliostat.services import Caller

from ..errors import UNIMPLEMENTED, FlyteError
from ..settings import FlyteSettings
from ..translate.task import TYPES, read_task
from . import lists, masking
from .references import Reference, reference
from .registry import Registry, task_template


class TaskCalls:
    """Methods raise FlyteError and HeliostatError."""

    def __init__(self, registry: Registry, settings: FlyteSettings, installation: Installation) -> None:
        self._entities = registry.entities
        self._settings = settings
        self._installation = installation

    async def create(self, caller: Caller, request: admin_tasks.TaskCreateRequest) -> admin_tasks.TaskCreateResponse:
        id = reference(request.id, identifiers.TASK, "id")
        kind = request.spec.template.type
        if kind not in TYPES:
            raise FlyteError(
                UNIMPLEMENTED,
                f"tasks of type {kind[:80]!r} cannot be run here; supported are {', '.join(TYPES)} and map tasks of them",
                "spec.template.type",
            )
        try:
            read_task(request.spec.template, self._settings, self._installation)
        except FlyteError as error:
            raise FlyteError(error.status, error.message, _below_spec(error.path)) from error
        await self._entities.add(caller, identifiers.TASK, id, request)
        return admin_tasks.TaskCreateResponse()

    async def get(self, caller: Caller, request: common.ObjectGetRequest) -> admin_tasks.Task:
        id = reference(request.id, identifiers.TASK, "id")
        found, document = await self._entities.get(caller, identifiers.TASK, id, admin_tasks.TaskCreateRequest)
        return _task(caller, id, found, document)

    async def list(self, caller: Caller, request: common.ResourceListRequest) -> admin_tasks.TaskList:
        rows, token = await lists.versions(self._entities, caller, identifiers.TASK, request)
        parsed = ((id, admin_tasks.TaskCreateRequest.FromString(row.body), row) for id, row in rows)
        return admin_tasks.TaskList(tasks=[_task(caller, *one) for one in parsed], token=token)

    async def list_ids(
        self, caller: Caller, request: common.NamedEntityIdentifierListRequest
    ) -> common.NamedEntityIdentifierList:
        return await lists.names(self._entities, caller, identifiers.TASK, request)


def _task(
    caller: Caller, id: Reference, request: admin_tasks.TaskCreateRequest, document: Document
) -> admin_tasks.Task:
    template = task_template(request, id)
    if not masking.sees_values(caller, document):
        masking.mask(template)
    found = admin_tasks.Task(id=template.id, short_description=request.spec.description.short_description)
    found.closure.compiled_task.CopyFrom(compiled.CompiledTask(template=template))
    found.closure.created_at.FromDatetime(document.created_at)
    return found


def _below_spec(path: str | None) -> str:
    """A path of a task template as it is in the request."""
    if path is None or path.partition(".")[0] == "template":
        return f"spec.{path or 'template'}"
    return f"spec.template.{path}"
