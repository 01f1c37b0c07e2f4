"""Whether a workflow can be run here, and the compiled form in which clients read it back. Pure.

Everything that a run would stumble over later is refused at registration, with the path: node kinds that are not
interpreted, references to nothing, bindings to outputs that are not there, cycles (Flyte contract, section 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from flyteidl.admin import workflow_pb2 as admin_workflows
from flyteidl.core import compiler_pb2 as compiled
from flyteidl.core import condition_pb2 as conditions
from flyteidl.core import identifier_pb2 as identifiers
from flyteidl.core import literals_pb2 as literals
from flyteidl.core import tasks_pb2 as tasks
from flyteidl.core import workflow_pb2 as workflows

from ..errors import UNIMPLEMENTED, FlyteError, invalid
from .references import Reference, identifier, reference

START = "start-node"
END = "end-node"
INPUTS = ("", START)
"""What bindings call the workflow's own inputs."""
SUPPORTED = "this server runs task nodes, branch nodes, sub-workflows and map tasks"
Tasks = Mapping[Reference, tasks.TaskTemplate]
Templates = Mapping[Reference, workflows.WorkflowTemplate]


@dataclass(frozen=True)
class Use:
    """A task that a workflow refers to."""

    path: str
    task: Reference


def uses(spec: admin_workflows.WorkflowSpec) -> list[Use]:
    """The tasks that the whole workflow refers to, in order. Raises FlyteError for node kinds that are not interpreted."""
    return [
        use
        for path, template in _templates(spec)
        for field, node in _nodes(template, path)
        for use in _node_uses(node, field)
    ]


def check(spec: admin_workflows.WorkflowSpec, known: Tasks) -> None:
    """Raises FlyteError unless the workflow can be run; ``known`` has every task of :func:`uses`."""
    templates = dict[Reference, workflows.WorkflowTemplate]()
    for path, template in _templates(spec)[1:]:
        found = reference(template.id, identifiers.WORKFLOW, f"{path}.id")
        if found in templates:
            raise invalid(f"{path}.id", f"{found} stands twice among the sub-workflows")
        templates[found] = template
    graph: dict[Reference | None, set[Reference]] = {}
    for (path, template), own in zip(_templates(spec), [None, *templates], strict=True):
        graph[own] = _Checker(template, path, known, templates).check()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names = " -> ".join(str(name) for name in reversed(error.args[1]))
        raise invalid("spec.sub_workflows", f"contain themselves: {names}") from None


def closure(own: Reference, spec: admin_workflows.WorkflowSpec, known: Tasks) -> compiled.CompiledWorkflowClosure:
    """The compiled form, with all tasks and sub-workflows."""
    primary = _compiled(spec.template)
    primary.template.id.CopyFrom(identifier(own, identifiers.WORKFLOW))
    found = compiled.CompiledWorkflowClosure(primary=primary)
    found.sub_workflows.extend(_compiled(template) for template in spec.sub_workflows)
    for task in dict.fromkeys(use.task for use in uses(spec)):
        row = found.tasks.add()
        row.template.CopyFrom(known[task])
        row.template.id.CopyFrom(identifier(task, identifiers.TASK))
    return found


class _Checker:
    """Of one template."""

    def __init__(self, template: workflows.WorkflowTemplate, path: str, known: Tasks, templates: Templates) -> None:
        self._template = template
        self._path = path
        self._known = known
        self._templates = templates
        self._inputs = set(template.interface.inputs.variables)
        self._outputs: dict[str, set[str]] = {}
        """Of each node."""
        self._upstream: dict[str, set[str]] = {}
        """Of each node: what it waits for."""
        self._subs = set[Reference]()
        """The sub-workflows that are referred to."""

    def check(self) -> set[Reference]:
        """The sub-workflows that it refers to. Raises FlyteError."""
        if not self._template.nodes:
            raise invalid(f"{self._path}.nodes", "is required: a workflow without nodes does nothing")
        if self._template.HasField("failure_node"):
            raise _unsupported(f"{self._path}.failure_node", "failure node", self._template.failure_node.id)
        rows = [(f"{self._path}.nodes[{place}]", node) for place, node in enumerate(self._template.nodes)]
        rows = [(path, node) for path, node in rows if node.id not in (START, END)]
        for path, node in rows:
            _check_id(node, path, self._outputs)
            self._outputs[node.id] = self._node_outputs(node, path)
        for path, node in rows:
            self._upstream[node.id] = set(self._node(node, path))
        try:
            TopologicalSorter(self._upstream).prepare()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise invalid(f"{self._path}.nodes", f"wait for each other in a circle: {circle}") from None
        self._results()
        return self._subs

    def _node(self, node: workflows.Node, path: str) -> Iterator[str]:
        """Ids of the nodes that it waits for."""
        for place, id in enumerate(node.upstream_node_ids):
            if id not in INPUTS:
                self._expect(id, f"{path}.upstream_node_ids[{place}]")
                yield id
        wanted = self._node_inputs(node)
        bound = set[str]()
        for place, binding in enumerate(node.inputs):
            where = f"{path}.inputs[{place}]"
            if binding.var in bound:
                raise invalid(f"{where}.var", f"{binding.var!r} is bound twice")
            if wanted is not None and binding.var not in wanted:
                raise invalid(f"{where}.var", f"{binding.var!r} is no input of what the node {node.id!r} runs")
            bound.add(binding.var)
            yield from self._binding(binding.binding, f"{where}.binding")
        if node.WhichOneof("target") == "branch_node":
            yield from self._branch(node.branch_node.if_else, bound, f"{path}.branch_node.if_else")
        if node.WhichOneof("target") == "array_node":
            _check_array(node.array_node, bound, f"{path}.array_node")

    def _branch(self, block: workflows.IfElseBlock, bound: set[str], path: str) -> Iterator[str]:
        for field, conditional in _cases(block, path):
            for where, name in _variables(conditional.condition, f"{field}.condition"):
                if name not in bound:
                    raise invalid(where, f"{name!r} is no input of the branch node")
        if block.WhichOneof("default") is None:
            raise invalid(path, "needs an else_node or an error for when no condition holds")
        inner: dict[str, set[str]] = {}
        for field, node in _then_nodes(block, path):
            _check_id(node, field, inner)
            inner[node.id] = set()
            yield from self._node(node, field)

    def _binding(self, binding: literals.BindingData, path: str) -> Iterator[str]:
        match binding.WhichOneof("value"):
            case "promise":
                promise = binding.promise
                if promise.node_id in INPUTS:
                    if promise.var not in self._inputs:
                        raise invalid(f"{path}.promise.var", f"the workflow has no input {promise.var!r}")
                    return
                outputs = self._expect(promise.node_id, f"{path}.promise.node_id")
                if promise.var not in outputs:
                    raise invalid(f"{path}.promise.var", f"the node {promise.node_id!r} has no output {promise.var!r}")
                yield promise.node_id
            case "collection":
                for place, item in enumerate(binding.collection.bindings):
                    yield from self._binding(item, f"{path}.collection.bindings[{place}]")
            case "map":
                for name, item in binding.map.bindings.items():
                    yield from self._binding(item, f"{path}.map.bindings[{name!r}]")
            case "scalar":
                return
            case None:
                raise invalid(path, "binds nothing")
            case kind:
                raise FlyteError(UNIMPLEMENTED, f"bindings of kind {kind} are not supported", f"{path}.{kind}")

    def _expect(self, id: str, path: str) -> set[str]:
        """The outputs of a node. Raises FlyteError when there is none of that id."""
        if id not in self._outputs:
            raise invalid(path, f"there is no node {id!r}")
        return self._outputs[id]

    def _node_inputs(self, node: workflows.Node) -> set[str] | None:
        """Names of the inputs of what it runs; None when it has none of its own."""
        match node.WhichOneof("target"):
            case "task_node":
                return set(self._task(node.task_node).interface.inputs.variables)
            case "array_node":
                return set(self._task(node.array_node.node.task_node).interface.inputs.variables)
            case "workflow_node":
                return set(self._sub(node.workflow_node, "").interface.inputs.variables)
        return None

    def _node_outputs(self, node: workflows.Node, path: str) -> set[str]:
        """Names of its outputs: of a branch those that all its ways have."""
        aliases = {row.var: row.alias for row in node.output_aliases}
        match node.WhichOneof("target"):
            case "task_node":
                found = set(self._task(node.task_node).interface.outputs.variables)
            case "array_node":
                found = set(self._task(node.array_node.node.task_node).interface.outputs.variables)
            case "workflow_node":
                found = set(self._sub(node.workflow_node, path).interface.outputs.variables)
            case _:
                ways = _then_nodes(node.branch_node.if_else, f"{path}.branch_node.if_else")
                found = set.intersection(*(self._node_outputs(inner, field) for field, inner in ways))
        return {aliases.get(name, name) for name in found}

    def _task(self, node: workflows.TaskNode) -> tasks.TaskTemplate:
        id = node.reference_id
        return self._known[Reference(id.project, id.domain, id.name, id.version)]

    def _sub(self, node: workflows.WorkflowNode, path: str) -> workflows.WorkflowTemplate:
        where = f"{path}.workflow_node.sub_workflow_ref"
        found = reference(node.sub_workflow_ref, identifiers.WORKFLOW, where)
        if found not in self._templates:
            raise invalid(where, f"{found} is not among the sub_workflows of this request")
        self._subs.add(found)
        return self._templates[found]

    def _results(self) -> None:
        """The workflow's own outputs."""
        wanted = set(self._template.interface.outputs.variables)
        bound = set[str]()
        for place, binding in enumerate(self._template.outputs):
            where = f"{self._path}.outputs[{place}]"
            if binding.var not in wanted:
                raise invalid(f"{where}.var", f"{binding.var!r} is not in the workflow's interface")
            if binding.var in bound:
                raise invalid(f"{where}.var", f"{binding.var!r} is bound twice")
            bound.add(binding.var)
            for _ in self._binding(binding.binding, f"{where}.binding"):
                pass
        for name in sorted(wanted - bound):
            raise invalid(f"{self._path}.outputs", f"the output {name!r} is bound to nothing")


def _templates(spec: admin_workflows.WorkflowSpec) -> list[tuple[str, workflows.WorkflowTemplate]]:
    subs = ((f"spec.sub_workflows[{place}]", template) for place, template in enumerate(spec.sub_workflows))
    return [("spec.template", spec.template), *subs]


def _nodes(template: workflows.WorkflowTemplate, path: str) -> Iterator[tuple[str, workflows.Node]]:
    """Those of a template, without the system's own."""
    for place, node in enumerate(template.nodes):
        if node.id not in (START, END):
            yield f"{path}.nodes[{place}]", node


def _node_uses(node: workflows.Node, path: str) -> Iterator[Use]:
    match node.WhichOneof("target"):
        case "task_node":
            yield _task_use(node.task_node, f"{path}.task_node")
        case "workflow_node":
            if node.workflow_node.WhichOneof("reference") != "sub_workflow_ref":
                raise _unsupported(f"{path}.workflow_node", "launch plan node", node.id)
        case "branch_node":
            for field, inner in _then_nodes(node.branch_node.if_else, f"{path}.branch_node.if_else"):
                yield from _node_uses(inner, field)
        case "array_node":
            inner = node.array_node.node
            kind = inner.WhichOneof("target")
            if kind != "task_node":
                over = (kind or "nothing").replace("_", " ")
                raise _unsupported(f"{path}.array_node.node", f"array node over a {over}", node.id)
            yield _task_use(inner.task_node, f"{path}.array_node.node.task_node")
        case None:
            raise invalid(path, f"the node {node.id!r} has no target")
        case kind:
            raise _unsupported(f"{path}.{kind}", kind.replace("_", " "), node.id)


def _task_use(node: workflows.TaskNode, path: str) -> Use:
    return Use(f"{path}.reference_id", reference(node.reference_id, identifiers.TASK, f"{path}.reference_id"))


def _cases(block: workflows.IfElseBlock, path: str) -> Iterator[tuple[str, workflows.IfBlock]]:
    yield f"{path}.case", block.case
    for place, row in enumerate(block.other):
        yield f"{path}.other[{place}]", row


def _then_nodes(block: workflows.IfElseBlock, path: str) -> Iterator[tuple[str, workflows.Node]]:
    for field, row in _cases(block, path):
        yield f"{field}.then_node", row.then_node
    if block.WhichOneof("default") == "else_node":
        yield f"{path}.else_node", block.else_node


def _variables(expression: conditions.BooleanExpression, path: str) -> Iterator[tuple[str, str]]:
    """The inputs that a condition looks at, with their paths."""
    match expression.WhichOneof("expr"):
        case "comparison":
            comparison = expression.comparison
            for side, operand in (("left_value", comparison.left_value), ("right_value", comparison.right_value)):
                where = f"{path}.comparison.{side}"
                match operand.WhichOneof("val"):
                    case "var":
                        yield f"{where}.var", operand.var
                    case None:
                        raise invalid(where, "is required")
        case "conjunction":
            conjunction = expression.conjunction
            yield from _variables(conjunction.left_expression, f"{path}.conjunction.left_expression")
            yield from _variables(conjunction.right_expression, f"{path}.conjunction.right_expression")
        case None:
            raise invalid(path, "is required")


def _check_id(node: workflows.Node, path: str, taken: Mapping[str, object]) -> None:
    if not node.id:
        raise invalid(f"{path}.id", "is required")
    if node.id in taken:
        raise invalid(f"{path}.id", f"there are two nodes {node.id!r}")


def _check_array(node: workflows.ArrayNode, bound: set[str], path: str) -> None:
    for place, name in enumerate(node.bound_inputs):
        if name not in bound:
            raise invalid(f"{path}.bound_inputs[{place}]", f"the node has no input {name!r}")
    if node.WhichOneof("success_criteria") == "min_success_ratio" and not 0 <= node.min_success_ratio <= 1:
        raise invalid(f"{path}.min_success_ratio", "must be between 0 and 1")


def _unsupported(path: str, kind: str, id: str) -> FlyteError:
    return FlyteError(UNIMPLEMENTED, f"the node {id!r} is a {kind}, which is not supported: {SUPPORTED}", path)


def _compiled(template: workflows.WorkflowTemplate) -> compiled.CompiledWorkflow:
    found = compiled.CompiledWorkflow(template=template)
    nodes = [node for _, node in _nodes(template, "")]
    downstream: dict[str, list[str]] = {}
    ends = {node.id for node in nodes}
    for node in nodes:
        before = list(dict.fromkeys(id for id in _waits(node) if id not in INPUTS)) or [START]
        found.connections.upstream[node.id].ids.extend(before)
        for id in before:
            downstream.setdefault(id, []).append(node.id)
            ends.discard(id)
    last = [node.id for node in nodes if node.id in ends]
    found.connections.upstream[END].ids.extend(last)
    for id in last:
        downstream.setdefault(id, []).append(END)
    for id, after in downstream.items():
        found.connections.downstream[id].ids.extend(after)
    return found


def _waits(node: workflows.Node) -> Iterator[str]:
    """Ids of the nodes for which a node waits, those inside of it included."""
    yield from node.upstream_node_ids
    for binding in node.inputs:
        yield from _promised(binding.binding)
    if node.WhichOneof("target") == "branch_node":
        for _, inner in _then_nodes(node.branch_node.if_else, ""):
            yield from _waits(inner)


def _promised(binding: literals.BindingData) -> Iterator[str]:
    match binding.WhichOneof("value"):
        case "promise":
            yield binding.promise.node_id
        case "collection":
            for item in binding.collection.bindings:
                yield from _promised(item)
        case "map":
            for item in binding.map.bindings.values():
                yield from _promised(item)
