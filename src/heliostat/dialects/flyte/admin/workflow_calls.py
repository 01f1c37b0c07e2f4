"""The methods of AdminService for workflows."""

from __future__ import annotations

from flyteidl.admin import common_pb2 as common
from flyteidl.admin import workflow_pb2 as admin_workflows
from flyteidl.core import identifier_pb2 as identifiers

from heliostat.domain.documents import Document
from heliostat.services import Caller

from ..errors import invalid
from ..executions import graph
from . import lists, masking, workflows
from .references import Reference, identifier, reference
from .registry import Registry

LARGEST = 16 << 20
"""Bytes of a workflow with all of its tasks, which is what clients read and executions keep. Clients take messages of 20 MiB."""


class WorkflowCalls:
    """Methods raise FlyteError and HeliostatError."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._entities = registry.entities

    async def create(
        self, caller: Caller, request: admin_workflows.WorkflowCreateRequest
    ) -> admin_workflows.WorkflowCreateResponse:
        id = reference(request.id, identifiers.WORKFLOW, "id")
        uses = workflows.uses(request.spec)
        known = await self._registry.known_tasks(caller, list(dict.fromkeys(use.task for use in uses)))
        for use in uses:
            if use.task not in known:
                raise invalid(use.path, f"the task {use.task} is not registered")
        workflows.check(request.spec, known)
        whole = workflows.closure(id, request.spec, known)
        if whole.ByteSize() > LARGEST:
            raise invalid(
                "spec", f"has {whole.ByteSize()} bytes with all of its tasks, and at most {LARGEST} can be read back"
            )
        graph.build(whole)  # raises for what only executions refuse
        await self._entities.add(caller, identifiers.WORKFLOW, id, request)
        return admin_workflows.WorkflowCreateResponse()

    async def get(self, caller: Caller, request: common.ObjectGetRequest) -> admin_workflows.Workflow:
        id = reference(request.id, identifiers.WORKFLOW, "id")
        kept, document = await self._entities.get(
            caller, identifiers.WORKFLOW, id, admin_workflows.WorkflowCreateRequest
        )
        found = _workflow(id, kept, document)
        found.closure.compiled_workflow.CopyFrom(await self._registry.closure(caller, id, kept.spec))
        if not masking.sees_values(caller, document):
            for task in found.closure.compiled_workflow.tasks:
                masking.mask(task.template)
        return found

    async def list(self, caller: Caller, request: common.ResourceListRequest) -> admin_workflows.WorkflowList:
        """Each with its interface only; :meth:`get` has the rest."""
        rows, token = await lists.versions(self._entities, caller, identifiers.WORKFLOW, request)
        parsed = ((id, admin_workflows.WorkflowCreateRequest.FromString(row.body), row) for id, row in rows)
        return admin_workflows.WorkflowList(workflows=[_workflow(*one) for one in parsed], token=token)

    async def list_ids(
        self, caller: Caller, request: common.NamedEntityIdentifierListRequest
    ) -> common.NamedEntityIdentifierList:
        return await lists.names(self._entities, caller, identifiers.WORKFLOW, request)


def _workflow(
    id: Reference, request: admin_workflows.WorkflowCreateRequest, document: Document
) -> admin_workflows.Workflow:
    own = identifier(id, identifiers.WORKFLOW)
    found = admin_workflows.Workflow(id=own, short_description=request.spec.description.short_description)
    template = found.closure.compiled_workflow.primary.template
    template.id.CopyFrom(own)
    template.interface.CopyFrom(request.spec.template.interface)
    found.closure.created_at.FromDatetime(document.created_at)
    return found
