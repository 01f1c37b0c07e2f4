"""What is registered, read back as it is run: task templates, workflows with all that they refer to, launch plans."""

from __future__ import annotations

from collections.abc import Collection

from flyteidl.admin import launch_plan_pb2 as launch_plans
from flyteidl.admin import task_pb2 as admin_tasks
from flyteidl.admin import workflow_pb2 as admin_workflows
from flyteidl.core import compiler_pb2 as compiled
from flyteidl.core import identifier_pb2 as identifiers
from flyteidl.core import tasks_pb2 as tasks

from heliostat.domain.documents import Document
from heliostat.services import Caller, Services

from ..places import Places
from . import workflows
from .entities import Entities
from .references import Reference, identifier


class Registry:
    """Methods raise NOT_FOUND for what was never registered, or not where the caller may see it."""

    def __init__(self, services: Services, places: Places) -> None:
        self.entities = Entities(services, places)

    async def task(self, caller: Caller, id: Reference) -> tasks.TaskTemplate:
        request, _ = await self.entities.get(caller, identifiers.TASK, id, admin_tasks.TaskCreateRequest)
        return task_template(request, id)

    async def workflow(self, caller: Caller, id: Reference) -> compiled.CompiledWorkflowClosure:
        """With all tasks and sub-workflows."""
        request, _ = await self.entities.get(caller, identifiers.WORKFLOW, id, admin_workflows.WorkflowCreateRequest)
        return await self.closure(caller, id, request.spec)

    async def closure(
        self, caller: Caller, id: Reference, spec: admin_workflows.WorkflowSpec
    ) -> compiled.CompiledWorkflowClosure:
        names = dict.fromkeys(use.task for use in workflows.uses(spec))
        return workflows.closure(id, spec, {name: await self.task(caller, name) for name in names})

    async def launch_plan(self, caller: Caller, id: Reference) -> launch_plans.LaunchPlanSpec:
        request, _ = await self.entities.get(caller, identifiers.LAUNCH_PLAN, id, launch_plans.LaunchPlanCreateRequest)
        return request.spec

    async def known_tasks(self, caller: Caller, names: Collection[Reference]) -> dict[Reference, tasks.TaskTemplate]:
        """Those of them that there are."""
        found: dict[Reference, Document] = {}
        for name in names:
            document = await self.entities.find(caller, identifiers.TASK, name)
            if document is not None:
                found[name] = document
        return {
            name: task_template(admin_tasks.TaskCreateRequest.FromString(document.body), name)
            for name, document in found.items()
        }


def task_template(request: admin_tasks.TaskCreateRequest, id: Reference) -> tasks.TaskTemplate:
    """What is run of a registered task. Its identifier is the one that it was registered by."""
    template = request.spec.template
    template.id.CopyFrom(identifier(id, identifiers.TASK))
    return template
