"""The methods of AdminService for launch plans: a workflow with inputs that are fixed or given by default.

One version of each name may be the active one. Which one is a document of its own, so that one change moves it from one
version to another. Schedules and what else starts a run by itself are refused: nothing here would start it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from flyteidl.admin import common_pb2 as common
from flyteidl.admin import launch_plan_pb2 as launch_plans
from flyteidl.admin import workflow_pb2 as admin_workflows
from flyteidl.core import identifier_pb2 as identifiers
from flyteidl.core import interface_pb2 as interfaces

from heliostat.domain.documents import Document, NewDocument
from heliostat.domain.errors import Conflict
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.spec import MASK
from heliostat.services import Caller, Services

from ..errors import NOT_FOUND, UNIMPLEMENTED, FlyteError, invalid
from ..names import key, parts
from . import lists, masking
from .listing import check_sort, limit_of
from .references import LONGEST, Reference, check_name, identifier, reference
from .registry import Registry

ACTIVE = "flyte.launch-plan.active"
"""Documents by name; the body is the active version, or nothing."""
KIND = identifiers.LAUNCH_PLAN
_CHUNK = 50


class LaunchPlanCalls:
    """Methods raise FlyteError and HeliostatError."""

    def __init__(self, registry: Registry, services: Services) -> None:
        self._registry = registry
        self._entities = registry.entities
        self._documents = services.documents

    async def create(
        self, caller: Caller, request: launch_plans.LaunchPlanCreateRequest
    ) -> launch_plans.LaunchPlanCreateResponse:
        id = reference(request.id, KIND, "id")
        spec = request.spec
        _check_metadata(spec.entity_metadata)
        workflow = reference(spec.workflow_id, identifiers.WORKFLOW, "spec.workflow_id")
        if await self._entities.find(caller, identifiers.WORKFLOW, workflow) is None:
            raise invalid("spec.workflow_id", f"the workflow {workflow} is not registered")
        interface = await self._interface(caller, workflow)
        for field, names in (
            ("default_inputs.parameters", spec.default_inputs.parameters),
            ("fixed_inputs.literals", spec.fixed_inputs.literals),
        ):
            for name in names:
                if name not in interface.inputs.variables:
                    raise invalid(f"spec.{field}[{name!r}]", f"the workflow {workflow} has no input {name!r}")
        for name in spec.fixed_inputs.literals:
            if name in spec.default_inputs.parameters:
                raise invalid(
                    f"spec.fixed_inputs.literals[{name!r}]", f"{name!r} has a default too; an input has one or none"
                )
        await self._entities.add(caller, KIND, id, request)
        return launch_plans.LaunchPlanCreateResponse()

    async def get(self, caller: Caller, request: common.ObjectGetRequest) -> launch_plans.LaunchPlan:
        return await self._shown(caller, reference(request.id, KIND, "id"))

    async def list(self, caller: Caller, request: common.ResourceListRequest) -> launch_plans.LaunchPlanList:
        rows, token = await lists.versions(self._entities, caller, KIND, request)
        shown = [await self._plan(caller, id, row) for id, row in rows]
        return launch_plans.LaunchPlanList(launch_plans=shown, token=token)

    async def list_ids(
        self, caller: Caller, request: common.NamedEntityIdentifierListRequest
    ) -> common.NamedEntityIdentifierList:
        return await lists.names(self._entities, caller, KIND, request)

    async def update(
        self, caller: Caller, request: launch_plans.LaunchPlanUpdateRequest
    ) -> launch_plans.LaunchPlanUpdateResponse:
        id = reference(request.id, KIND, "id")
        if request.state not in (launch_plans.ACTIVE, launch_plans.INACTIVE):
            raise invalid("state", "must be ACTIVE or INACTIVE")
        await self._entities.get(caller, KIND, id, launch_plans.LaunchPlanCreateRequest)
        workspace = await self._entities.workspace(caller, id.project, id.domain)
        active = request.state == launch_plans.ACTIVE
        while True:
            try:
                await self._move(caller, workspace, id, active=active)
                return launch_plans.LaunchPlanUpdateResponse()
            except Conflict:
                continue  # another moved it meanwhile: look again

    async def active(self, caller: Caller, request: launch_plans.ActiveLaunchPlanRequest) -> launch_plans.LaunchPlan:
        named = request.id
        for field in ("project", "domain", "name"):
            check_name(getattr(named, field), f"id.{field}", LONGEST[field])
        workspace = await self._entities.workspace(caller, named.project, named.domain)
        name = key(named.project, named.domain, named.name)
        found = await self._documents.get(caller, workspace, ACTIVE, name)
        if found is None or not found.body:
            raise FlyteError(NOT_FOUND, f"no version of the launch plan {'/'.join(parts(name))} is active")
        return await self._shown(caller, Reference(named.project, named.domain, named.name, found.body.decode()))

    async def list_active(
        self, caller: Caller, request: launch_plans.ActiveLaunchPlanListRequest
    ) -> launch_plans.LaunchPlanList:
        check_name(request.project, "project", LONGEST["project"])
        check_name(request.domain, "domain", LONGEST["domain"])
        check_sort(request.sort_by, ("name",), ascending=True)
        limit, after = limit_of(request.limit), lists.token_of(request.token) or None
        workspace = await self._entities.workspace(caller, request.project, request.domain)
        prefix = key(request.project, request.domain) + "/"
        found = launch_plans.LaunchPlanList()
        while True:
            rows = await self._documents.scan(caller, workspace, ACTIVE, prefix, limit=_CHUNK, after=after)
            for row in rows:
                after = row.key
                if row.body:
                    version = Reference(*(*parts(row.key), row.body.decode()))
                    found.launch_plans.append(await self._shown(caller, version))
                if len(found.launch_plans) == limit:
                    found.token = row.key
                    return found
            if len(rows) < _CHUNK:
                return found

    async def _move(self, caller: Caller, workspace: WorkspaceId, id: Reference, *, active: bool) -> None:
        """Make this version the active one, or no longer. Raises Conflict when another change came between."""
        version = id.version.encode()
        present = await self._documents.get(caller, workspace, ACTIVE, id.group)
        if present is None and active:
            group = key(id.project, id.domain)
            wish = NewDocument(ACTIVE, workspace, id.group, version, group=group)
            present, fresh = await self._documents.add(caller, wish)
            if fresh:
                return
        if present is not None and (present.body == version) != active:
            await self._documents.change(caller, replace(present, body=version if active else b""))

    async def _shown(self, caller: Caller, id: Reference) -> launch_plans.LaunchPlan:
        _, document = await self._entities.get(caller, KIND, id, launch_plans.LaunchPlanCreateRequest)
        return await self._plan(caller, id, document)

    async def _plan(self, caller: Caller, id: Reference, document: Document) -> launch_plans.LaunchPlan:
        spec = launch_plans.LaunchPlanCreateRequest.FromString(document.body).spec
        if not masking.sees_values(caller, document):
            for pair in spec.envs.values:
                pair.value = MASK
        found = launch_plans.LaunchPlan(id=identifier(id, KIND), spec=spec)
        workflow = reference(spec.workflow_id, identifiers.WORKFLOW, "spec.workflow_id")
        interface = await self._interface(caller, workflow)
        found.closure.expected_inputs.CopyFrom(expected_inputs(spec, interface))
        found.closure.expected_outputs.CopyFrom(interface.outputs)
        state = await self._documents.get(caller, document.workspace, ACTIVE, id.group)
        active = state is not None and state.body == id.version.encode()
        found.closure.state = launch_plans.ACTIVE if active else launch_plans.INACTIVE
        found.closure.created_at.FromDatetime(document.created_at)
        found.closure.updated_at.FromDatetime(_updated(document, state if active else None))
        return found

    async def _interface(self, caller: Caller, workflow: Reference) -> interfaces.TypedInterface:
        kept, _ = await self._entities.get(
            caller, identifiers.WORKFLOW, workflow, admin_workflows.WorkflowCreateRequest
        )
        return kept.spec.template.interface


def expected_inputs(spec: launch_plans.LaunchPlanSpec, interface: interfaces.TypedInterface) -> interfaces.ParameterMap:
    """What may still be given to a run: every input that is not fixed, required unless it has a default."""
    found = interfaces.ParameterMap()
    for name, variable in interface.inputs.variables.items():
        if name in spec.fixed_inputs.literals:
            continue
        if name in spec.default_inputs.parameters:
            found.parameters[name].CopyFrom(spec.default_inputs.parameters[name])
        else:
            found.parameters[name].CopyFrom(interfaces.Parameter(var=variable, required=True))
    return found


def _check_metadata(metadata: launch_plans.LaunchPlanMetadata) -> None:
    """Raises FlyteError for what would have to be done without being asked."""
    refused: Sequence[tuple[str, bool]] = (
        ("schedule", metadata.schedule.WhichOneof("ScheduleExpression") is not None),
        ("notifications", len(metadata.notifications) > 0),
        ("launch_conditions", metadata.HasField("launch_conditions")),
    )
    for field, given in refused:
        if given:
            raise FlyteError(
                UNIMPLEMENTED,
                f"launch plans with {field.replace('_', ' ')} are not supported: register it without, and start its runs "
                "from outside (pyflyte run --remote, FlyteRemote.execute)",
                f"spec.entity_metadata.{field}",
            )


def _updated(plan: Document, state: Document | None) -> datetime:
    return plan.created_at if state is None else max(plan.created_at, state.modified_at)
