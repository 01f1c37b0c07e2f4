"""What is to be executed, as one flat, checked graph that never changes.

It is made from a compiled workflow, which has the templates of its sub-workflows and tasks, or from a single task.
Sub-workflows are unfolded: each use of one has nodes of its own. A node's id is unique in the execution: its own, after those
of the nodes that it is part of (``n1-0-n0``, as in Flyte). Two sorts of nodes are part of another: those of a sub-workflow,
which see the values of that only, and the arms of a branch, which see what the branch itself sees.

Everything that cannot be executed is refused here, by the name of its kind and node, so that nothing is found out halfway.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import Any

from flyteidl.core import literals_pb2, types_pb2, workflow_pb2

from ..admin.references import Reference
from ..errors import INVALID_ARGUMENT, UNIMPLEMENTED, FlyteError

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any

START = "start-node"
END = "end-node"
SINGLE = "n0"
"""The node of a single task's execution (Flyte contract, section 6)."""
MOST_NODES = 5000
DEEPEST = 50
"""Sub-workflows within each other."""
MOST_RETRIES = 100
"""Of one node: its state keeps all of its attempts."""
_ID = re.compile(r"(?!.*\.pb$)[A-Za-z0-9_-][A-Za-z0-9._~-]{0,199}")
"""It becomes a folder, beside files of inputs and outputs."""
MAP_ENTRYPOINT = "pyflyte-map-execute"


class Kind(Enum):
    TASK = "task"
    BRANCH = "branch"
    WORKFLOW = "workflow"
    ARRAY = "array"


@dataclass(frozen=True)
class Arm:
    """One way of a branch."""

    condition: Message | None
    """core.BooleanExpression; None = what is taken otherwise."""
    node: str


@dataclass(frozen=True)
class ArrayShape:
    """How a map task is run."""

    parallelism: int | None = None
    """Elements at a time; 0 = all at once; None = as many as the execution has attempts left."""
    min_successes: int | None = None
    min_ratio: float | None = None
    bound: frozenset[str] = frozenset()
    """Inputs that every element gets whole."""
    own_inputs: bool = False
    """Each element reads a file with its own values instead of the whole lists."""
    run_all: bool = False
    """Elements go on after it is clear that too few succeed."""

    def needed(self, size: int) -> int:
        """How many elements must succeed."""
        if self.min_successes is not None:
            return min(self.min_successes, size)
        if self.min_ratio is not None:
            return min(size, math.ceil(self.min_ratio * size))
        return size


@dataclass(frozen=True)
class Node:
    id: str
    spec_id: str
    """Its id in its own template."""
    name: str
    kind: Kind
    parent: str
    """The node that it is part of; empty = the execution itself."""
    scope: str
    """The sub-workflow's node whose values it sees; empty = the execution's."""
    after: tuple[str, ...]
    """Ids of the nodes that must be done first."""
    inputs: tuple[Message, ...]
    """core.Binding; the node ids in them are of the scope's template."""
    aliases: Mapping[str, str]
    """Names under which outputs are asked for -> their own."""
    task: Reference | None = None
    overrides: Message | None = None
    """core.TaskNodeOverrides"""
    attempts: int = 1
    timeout: timedelta | None = None
    arms: tuple[Arm, ...] = ()
    otherwise: str = ""
    """What a branch says that fails since no condition holds."""
    array: ArrayShape = ArrayShape()


@dataclass(frozen=True)
class Scope:
    """The execution's workflow, or one use of a sub-workflow."""

    ids: Mapping[str, str]
    """Id in the template -> id in the execution."""
    outputs: tuple[Message, ...]
    """core.Binding"""
    fail_at_once: bool


@dataclass(frozen=True)
class Graph:
    nodes: Mapping[str, Node]
    children: Mapping[str, tuple[str, ...]]
    """Of a node, and of the execution (empty id), in the order of their templates."""
    scopes: Mapping[str, Scope]

    def parts(self, parent: str) -> tuple[str, ...]:
        return self.children.get(parent, ())


def build(program: Message) -> Graph:
    """The graph of a core.CompiledWorkflowClosure; one without a workflow has a single task, which is then all there is.

    Raises FlyteError: INVALID_ARGUMENT, or UNIMPLEMENTED for what cannot be executed here.
    """
    if program.HasField("primary"):
        return _Builder(program).build(program.primary.template)
    return _single(program.tasks[0].template)


def _single(template: Message) -> Graph:
    """Every input of the execution is one of the task's."""
    inputs = tuple(_same(name, START) for name in sorted(template.interface.inputs.variables))
    outputs = tuple(_same(name, SINGLE) for name in sorted(template.interface.outputs.variables))
    bound = _map_variables(template)
    node = Node(
        SINGLE, SINGLE, template.id.name, Kind.TASK if bound is None else Kind.ARRAY, "", "", (), inputs, {},
        task=_reference(template.id), attempts=_attempts(template.metadata.retries.retries, f"task {template.id.name}"),
        array=ArrayShape(bound=bound or frozenset()),
    )  # fmt: skip
    return Graph({SINGLE: node}, {"": (SINGLE,)}, {"": Scope({SINGLE: SINGLE}, outputs, True)})


def _attempts(retries: int, here: str) -> int:
    if retries > MOST_RETRIES:
        raise FlyteError(INVALID_ARGUMENT, f"{here} has {retries} retries, and at most {MOST_RETRIES} are made")
    return 1 + retries


def _same(name: str, node: str) -> Message:
    """A binding of a variable to the one of the same name of a node."""
    promise = types_pb2.OutputReference(node_id=node, var=name)
    return literals_pb2.Binding(var=name, binding=literals_pb2.BindingData(promise=promise))


@dataclass(frozen=True)
class _Place:
    """Where a node stands."""

    parent: str
    scope: str
    within: tuple[Reference, ...]
    """The workflows that it is in, the outermost first."""

    def __str__(self) -> str:
        return f"workflow {self.within[-1].name}"


class _Builder:
    def __init__(self, program: Message) -> None:
        self._subs = {_reference(row.template.id): row.template for row in program.sub_workflows}
        self._tasks = {_reference(row.template.id): row.template for row in program.tasks}
        self._nodes: dict[str, Node] = {}
        self._children: dict[str, tuple[str, ...]] = {}
        self._scopes: dict[str, Scope] = {}

    def build(self, template: Message) -> Graph:
        self._workflow(template, "", ())
        return Graph(self._nodes, self._children, self._scopes)

    def _workflow(self, template: Message, id: str, within: tuple[Reference, ...]) -> None:
        ref = _reference(template.id)
        place = _Place(id, id, (*within, ref))
        if ref in within:
            raise FlyteError(INVALID_ARGUMENT, f"{place} is a part of itself")
        if len(within) > DEEPEST:
            raise FlyteError(INVALID_ARGUMENT, f"{place}: more than {DEEPEST} sub-workflows are within each other")
        if template.HasField("failure_node") and template.failure_node.WhichOneof("target") is not None:
            raise _unsupported(f"{place}: node {template.failure_node.id}", "a failure node (on_failure)")
        members = [node for node in template.nodes if node.id not in (START, END)]
        ids = {node.id: _inner(id, node.id) for node in members}
        if len(ids) < len(members):
            raise FlyteError(INVALID_ARGUMENT, f"{place}: two nodes have the same id")
        later = workflow_pb2.WorkflowMetadata.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
        self._scopes[id] = Scope(ids, tuple(template.outputs), template.metadata.on_failure != later)
        self._children[id] = tuple(ids.values())
        for node in members:
            self._node(node, ids[node.id], place)
        for binding in template.outputs:
            self._sources(binding, place, f"{place}: output {binding.var!r}")
        self._check_order(place)

    def _node(self, node: Message, id: str, place: _Place) -> None:
        here = f"{place}: node {node.id}"
        if not _ID.fullmatch(node.id):
            raise FlyteError(INVALID_ARGUMENT, f"{place}: {node.id!r} cannot be the id of a node")
        if id in self._nodes:
            raise FlyteError(INVALID_ARGUMENT, f"{here}: two nodes would have the id {id}")
        if len(self._nodes) >= MOST_NODES:
            told = f"{place}: there are more than {MOST_NODES} nodes, those of sub-workflows counted each time"
            raise FlyteError(INVALID_ARGUMENT, told)
        common = Node(
            id, node.id, node.metadata.name or node.id, Kind.TASK, place.parent, place.scope, self._after(node, place, here),
            tuple(node.inputs), {row.alias: row.var for row in node.output_aliases},
        )  # fmt: skip
        match node.WhichOneof("target"):
            case "task_node":
                self._nodes[id] = self._task(common, node.task_node, node.metadata, here)
            case "array_node":
                self._nodes[id] = self._array(common, node, here)
            case "workflow_node":
                self._nodes[id] = replace(common, kind=Kind.WORKFLOW)
                self._use(node.workflow_node, id, place, here)
            case "branch_node":
                self._branch(common, node.branch_node.if_else, place, here)
            case None:
                raise FlyteError(INVALID_ARGUMENT, f"{here} has no target")
            case other:
                raise _unsupported(here, f"a {other.replace('_', ' ')}")

    def _task(self, common: Node, task_node: Message, metadata: Message, here: str) -> Node:
        ref = _reference(task_node.reference_id)
        overrides = task_node.overrides if task_node.HasField("overrides") else None
        if overrides is not None and overrides.HasField("pod_template"):
            raise _unsupported(here, "a task with another pod template (with_overrides)")
        task = self._tasks.get(ref)
        if task is None:
            raise FlyteError(INVALID_ARGUMENT, f"{here}: the task {ref} is not registered")
        timeout = metadata.timeout.ToTimedelta()
        return replace(
            common, task=ref, overrides=overrides, timeout=timeout if timeout > timedelta(0) else None,
            attempts=_attempts(metadata.retries.retries or task.metadata.retries.retries, here),
        )  # fmt: skip

    def _array(self, common: Node, node: Message, here: str) -> Node:
        array = node.array_node
        inner = array.node.WhichOneof("target")
        if inner != "task_node":
            raise _unsupported(here, f"an array node over a {(inner or 'missing node').replace('_', ' ')}")
        criterion = array.WhichOneof("success_criteria")
        shape = ArrayShape(
            parallelism=array.parallelism if array.WhichOneof("parallelism_option") == "parallelism" else None,
            min_successes=array.min_successes if criterion == "min_successes" else None,
            min_ratio=array.min_success_ratio if criterion == "min_success_ratio" else None,
            bound=frozenset(array.bound_inputs),
            own_inputs=array.data_mode == workflow_pb2.ArrayNode.INDIVIDUAL_INPUT_FILES,
            run_all=array.run_all_sub_nodes,
        )
        # What is said of retries and time holds for each element, wherever it is said.
        metadata = workflow_pb2.NodeMetadata()
        metadata.CopyFrom(array.node.metadata)
        metadata.retries.retries = metadata.retries.retries or node.metadata.retries.retries
        if not metadata.HasField("timeout") and node.metadata.HasField("timeout"):
            metadata.timeout.CopyFrom(node.metadata.timeout)
        return self._task(replace(common, kind=Kind.ARRAY, array=shape), array.node.task_node, metadata, here)

    def _use(self, workflow_node: Message, id: str, place: _Place, here: str) -> None:
        """One use of a sub-workflow."""
        if workflow_node.WhichOneof("reference") != "sub_workflow_ref":
            raise _unsupported(here, "a launch plan; call its workflow instead")
        ref = _reference(workflow_node.sub_workflow_ref)
        sub = self._subs.get(ref)
        if sub is None:
            raise FlyteError(INVALID_ARGUMENT, f"{here}: the sub-workflow {ref} did not come with the workflow")
        self._workflow(sub, id, place.within)

    def _branch(self, common: Node, block: Message, place: _Place, here: str) -> None:
        if not block.HasField("case"):
            raise FlyteError(INVALID_ARGUMENT, f"{here} is a branch without a first case")
        ways: list[tuple[Message | None, Message]]
        ways = [(row.condition, row.then_node) for row in (block.case, *block.other)]
        otherwise = ""
        if block.WhichOneof("default") == "else_node":
            ways.append((None, block.else_node))
        elif block.WhichOneof("default") == "error":
            otherwise = block.error.message
        arms = tuple(Arm(condition, _inner(common.id, then.id)) for condition, then in ways)
        self._nodes[common.id] = replace(common, kind=Kind.BRANCH, arms=arms, otherwise=otherwise)
        self._children[common.id] = tuple(arm.node for arm in arms)
        for arm, (_, then) in zip(arms, ways, strict=True):
            self._node(then, arm.node, replace(place, parent=common.id))

    def _after(self, node: Message, place: _Place, here: str) -> tuple[str, ...]:
        ids = self._scopes[place.scope].ids
        found: dict[str, None] = {}
        for name in node.upstream_node_ids:
            if name not in ("", START) and name not in ids:
                raise FlyteError(INVALID_ARGUMENT, f"{here} comes after the node {name}, which is not there")
            if name not in ("", START):
                found[ids[name]] = None
        for binding in node.inputs:
            found |= dict.fromkeys(self._sources(binding, place, f"{here}: input {binding.var!r}"))
        return tuple(found)

    def _sources(self, binding: Message, place: _Place, here: str) -> list[str]:
        """The nodes that a binding takes something of."""
        ids = self._scopes[place.scope].ids
        names = [ref.node_id for ref in promises(binding.binding) if ref.node_id not in ("", START)]
        for name in names:
            if name not in ids:
                raise FlyteError(INVALID_ARGUMENT, f"{here} needs the node {name}, which is not there")
        return [ids[name] for name in names]

    def _check_order(self, place: _Place) -> None:
        """Raises for nodes that wait for each other. A branch waits for all that its arms wait for."""

        def needs(id: str) -> set[str]:
            arms = self._nodes[id].arms
            return set(self._nodes[id].after).union(*(needs(arm.node) for arm in arms))

        try:
            TopologicalSorter({id: needs(id) for id in self._children[place.scope]}).prepare()
        except CycleError as error:
            names = " -> ".join(self._nodes[id].spec_id for id in reversed(error.args[1]))
            raise FlyteError(INVALID_ARGUMENT, f"{place}: nodes wait for each other: {names}") from None


def promises(data: Message) -> Iterator[Message]:
    """Every core.OutputReference in a core.BindingData."""
    which = data.WhichOneof("value")
    if which == "promise":
        yield data.promise
    elif which == "collection":
        for part in data.collection.bindings:
            yield from promises(part)
    elif which == "map":
        for part in data.map.bindings.values():
            yield from promises(part)


def _map_variables(template: Message) -> frozenset[str] | None:
    """The inputs that each element of a map task gets whole, read from its command line; None = not a map task."""
    args = list(template.container.args)
    if template.WhichOneof("target") == "k8s_pod":
        rows = template.k8s_pod.pod_spec.fields["containers"].list_value.values
        args = [part.string_value for row in rows for part in row.struct_value.fields["args"].list_value.values]
    if template.task_type_version != 1 or MAP_ENTRYPOINT not in args:
        return None
    after = args[args.index("vars") + 1] if "vars" in args[:-1] else ""
    return frozenset(name for name in after.split(",") if name)


def _inner(parent: str, id: str) -> str:
    return f"{parent}-0-{id}" if parent else id


def _reference(id: Message) -> Reference:
    return Reference(id.project, id.domain, id.name, id.version)


def _unsupported(here: str, what: str) -> FlyteError:
    return FlyteError(
        UNIMPLEMENTED,
        f"{here} is {what}, which is not supported here; supported are tasks, map tasks, sub-workflows and conditions. Run the "
        "workflow on a Flyte backend with Heliostat as its connector, or each of its tasks by itself",
    )
