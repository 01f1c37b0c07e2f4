"""Messages as Flyte's clients send them."""

from __future__ import annotations

from typing import Any

from flyteidl.admin import common_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflows
from google.protobuf import text_format

INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)
TASK, WORKFLOW, LAUNCH_PLAN = identifier_pb2.TASK, identifier_pb2.WORKFLOW, identifier_pb2.LAUNCH_PLAN


def identifier(kind: Any, name: str, version: str = "v1", project: str = "p", domain: str = "d") -> Any:
    return identifier_pb2.Identifier(resource_type=kind, project=project, domain=domain, name=name, version=version)


def task(
    name: str, version: str = "v1", inputs: str = "x", type: str = "python-task", image: str = "i", **id: str
) -> Any:
    """A request for a task with integers as inputs (their names), and the output ``o0``."""
    request = task_pb2.TaskCreateRequest(id=identifier(TASK, name, version, **id))
    template = request.spec.template
    template.id.CopyFrom(request.id)
    template.type = type
    for variable in inputs.split():
        template.interface.inputs.variables[variable].type.CopyFrom(INTEGER)
    template.interface.outputs.variables["o0"].type.CopyFrom(INTEGER)
    template.container.image = image
    template.container.args.extend(["pyflyte-execute", "--inputs", "{{.input}}", "--", "task-name", name])
    return request


def node(id: str, text: str) -> Any:
    """A node whose target and inputs are given in text format."""
    return text_format.Parse(text, core_workflows.Node(id=id))


def task_node(id: str, name: str, **inputs: str) -> Any:
    """A node of a task; inputs as ``n0.o0`` (another node's), ``.x`` (the workflow's) or a number."""
    found = core_workflows.Node(id=id)
    found.task_node.reference_id.CopyFrom(identifier(TASK, name))
    found.inputs.extend(binding(variable, text) for variable, text in inputs.items())
    return found


def binding(variable: str, text: str) -> Any:
    found = literals_pb2.Binding(var=variable)
    if text.isdecimal():
        found.binding.scalar.primitive.integer = int(text)
    else:
        source, _, name = text.partition(".")
        found.binding.promise.node_id, found.binding.promise.var = source, name
    return found


def template(name: str, *nodes: Any, outputs: dict[str, str] | None = None, inputs: str = "x") -> Any:
    found = core_workflows.WorkflowTemplate(id=identifier(WORKFLOW, name), nodes=nodes)
    for variable in inputs.split():
        found.interface.inputs.variables[variable].type.CopyFrom(INTEGER)
    for variable, text in (outputs or {}).items():
        found.interface.outputs.variables[variable].type.CopyFrom(INTEGER)
        found.outputs.append(binding(variable, text))
    return found


def spec(primary: Any, *subs: Any) -> Any:
    return workflow_pb2.WorkflowSpec(template=primary, sub_workflows=subs)


def workflow(primary: Any, *subs: Any) -> Any:
    return workflow_pb2.WorkflowCreateRequest(id=primary.id, spec=spec(primary, *subs))


def launch_plan(name: str, version: str = "v1", workflow: str = "w") -> Any:
    request = launch_plan_pb2.LaunchPlanCreateRequest(id=identifier(LAUNCH_PLAN, name, version))
    request.spec.workflow_id.CopyFrom(identifier(WORKFLOW, workflow))
    return request


def get(kind: Any, name: str, version: str = "v1", **id: str) -> Any:
    return common_pb2.ObjectGetRequest(id=identifier(kind, name, version, **id))


def listing(name: str = "", limit: int = 100, **more: Any) -> Any:
    id = common_pb2.NamedEntityIdentifier(project="p", domain="d", name=name)
    return common_pb2.ResourceListRequest(id=id, limit=limit, **more)


NEWEST = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.DESCENDING)
