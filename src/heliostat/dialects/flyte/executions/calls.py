"""The methods of AdminService for executions (Flyte contract, section 6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flyteidl.admin import common_pb2, execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import literals_pb2

from heliostat.domain.documents import Document
from heliostat.domain.errors import Conflict, Forbidden, InvalidRequest
from heliostat.domain.records import Role
from heliostat.services import Caller, Services

from .. import names
from ..admin.listing import check_sort, limit_of
from ..admin.registry import Registry
from ..errors import FAILED_PRECONDITION, NOT_FOUND, UNIMPLEMENTED, FlyteError, invalid
from ..places import Places
from ..runs import EXECUTION_KIND, RunView
from ..runs.runs import Runs
from . import writing
from .graph import Kind
from .layout import Layout
from .literals import BindingFailed
from .phases import ExecutionPhase, NodePhase
from .programs import Programs
from .starting import Starter
from .state import Abort, read_execution
from .values import literal_map
from .writing import Shown

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any

INLINE = 2 << 20
"""Bytes of values in an answer; clients fetch larger ones from their URL. They take messages of 4 MiB unless told otherwise."""
TRIES = 5
"""Of noting an abort while the conductor writes, too."""
DEEPEST_SPAN = 10
CHUNK = 10
"""Executions that are read at once: one of thousands of elements is large."""
LONGEST_CAUSE = 2000
"""Characters of why an execution is terminated; it is stored with the execution."""


class ExecutionCalls:
    """Methods raise FlyteError and HeliostatError."""

    def __init__(self, services: Services, places: Places, registry: Registry, runs: Runs) -> None:
        self._services = services
        self._documents = services.documents
        self._data = services.data
        self._places = places
        self._runs = runs
        self._programs = Programs(services.documents)
        self._starter = Starter(services, places, registry, self._programs)

    @property
    def methods(self) -> Mapping[str, tuple[Any, Callable[[Caller, Any], Awaitable[Any]]]]:
        """By name: the class of the request, and what answers it."""
        return {
            "CreateExecution": (execution_pb2.ExecutionCreateRequest, self.create),
            "RelaunchExecution": (execution_pb2.ExecutionRelaunchRequest, self.relaunch),
            "RecoverExecution": (execution_pb2.ExecutionRecoverRequest, self.recover),
            "GetExecution": (execution_pb2.WorkflowExecutionGetRequest, self.get),
            "GetExecutionData": (execution_pb2.WorkflowExecutionGetDataRequest, self.data),
            "GetExecutionMetrics": (execution_pb2.WorkflowExecutionGetMetricsRequest, self.metrics),
            "ListExecutions": (common_pb2.ResourceListRequest, self.list),
            "TerminateExecution": (execution_pb2.ExecutionTerminateRequest, self.terminate),
            "GetNodeExecution": (node_execution_pb2.NodeExecutionGetRequest, self.node),
            "GetNodeExecutionData": (node_execution_pb2.NodeExecutionGetDataRequest, self.node_data),
            "ListNodeExecutions": (node_execution_pb2.NodeExecutionListRequest, self.nodes),
            "ListNodeExecutionsForTask": (node_execution_pb2.NodeExecutionForTaskListRequest, self.nodes_of_task),
            "GetDynamicNodeWorkflow": (node_execution_pb2.GetDynamicNodeWorkflowRequest, self.dynamic),
            "GetTaskExecution": (task_execution_pb2.TaskExecutionGetRequest, self.attempt),
            "GetTaskExecutionData": (task_execution_pb2.TaskExecutionGetDataRequest, self.attempt_data),
            "ListTaskExecutions": (task_execution_pb2.TaskExecutionListRequest, self.attempts),
        }

    # --- executions -----------------------------------------------------------------------------------------------------

    async def create(self, caller: Caller, request: Message) -> Message:
        return execution_pb2.ExecutionCreateResponse(id=await self._starter.create(caller, request))

    async def relaunch(self, caller: Caller, request: Message) -> Message:
        document = await self._document(caller, request.id)
        inputs = await self._values(read_execution(document.body).inputs_url)
        if inputs is None:
            raise FlyteError(
                FAILED_PRECONDITION, "its inputs are not there any more; begin a new execution with new ones"
            )
        id = await self._starter.relaunch(caller, request, document, inputs)
        return execution_pb2.ExecutionCreateResponse(id=id)

    async def recover(self, caller: Caller, request: Message) -> Message:
        raise FlyteError(
            UNIMPLEMENTED, "executions cannot be recovered from the node that failed; relaunch it from the beginning"
        )

    async def get(self, caller: Caller, request: Message) -> Message:
        document = await self._document(caller, request.id)
        return self._shown(caller, document)

    async def data(self, caller: Caller, request: Message) -> Message:
        document = await self._document(caller, request.id)
        one, layout = read_execution(document.body), self._layout(document)
        made = execution_pb2.WorkflowExecutionGetDataResponse()
        done = one.state.phase is ExecutionPhase.SUCCEEDED
        await self._put_values(made, one.inputs_url, layout.outputs if done else None)
        return made

    async def metrics(self, caller: Caller, request: Message) -> Message:
        shown = await self._whole(caller, request.id)
        depth = (
            min(request.depth, DEEPEST_SPAN) if request.depth > 0 else DEEPEST_SPAN
        )  # -1 is what clients send for all
        return execution_pb2.WorkflowExecutionGetMetricsResponse(span=writing.span(shown, depth))

    async def list(self, caller: Caller, request: Message) -> Message:
        """Of a project and domain, newest first."""
        project, domain = request.id.project, request.id.domain
        for field, text in (("id.project", project), ("id.domain", domain)):
            if not text:
                raise invalid(field, "is required")
        if request.filters:
            raise FlyteError(UNIMPLEMENTED, "executions cannot be filtered here; leave the filters out", "filters")
        check_sort(request.sort_by, ("created_at",), ascending=False)
        workspace = (await self._places.workspace(caller, project, domain, "id")).id
        limit, group = limit_of(request.limit), names.key(project, domain)
        made, before = execution_pb2.ExecutionList(), request.token or None
        size, last = 0, ""
        while True:
            chunk = min(CHUNK, limit + 1 - len(made.executions))
            try:
                rows = await self._documents.page(
                    caller, workspace, EXECUTION_KIND, group, limit=chunk, before=before
                )  # fmt: skip
            except InvalidRequest as error:
                raise invalid("token", "is not one that a list of this server gave") from error
            for row in rows:
                shown = self._shown(caller, row)
                size += shown.ByteSize()
                if len(made.executions) == limit or (last and size > INLINE):
                    made.token = last
                    return made
                made.executions.append(shown)
                before = last = row.key
            if len(rows) < chunk:
                return made

    async def terminate(self, caller: Caller, request: Message) -> Message:
        """Note that it is to end; the conductor ends it. One that ends already is left to that."""
        for left in reversed(range(TRIES)):
            document = await self._document(caller, request.id)
            if not caller.may(document.workspace, Role.EDITOR):
                raise Forbidden("terminate executions", caller.principal.name, Role.EDITOR)
            one = read_execution(document.body)
            if one.state.abort is not None:
                break
            if one.state.phase.final:
                told = f"the execution has ended already: it has {one.state.phase.name.lower()}"
                raise FlyteError(FAILED_PRECONDITION, told, "id")
            abort = Abort(request.cause[:LONGEST_CAUSE], caller.principal.name, self._services.clock.now())
            body = replace(one, state=replace(one.state, abort=abort)).write()
            try:
                await self._documents.change(caller, replace(document, body=body))
                break
            except Conflict:
                if not left:
                    raise
        return execution_pb2.ExecutionTerminateResponse()

    # --- nodes ----------------------------------------------------------------------------------------------------------

    async def node(self, caller: Caller, request: Message) -> Message:
        shown, node = await self._node(caller, request.id)
        return await self._shown_node(shown, node)

    async def node_data(self, caller: Caller, request: Message) -> Message:
        shown, id = await self._node(caller, request.id)
        state = shown.execution.state.nodes[id]
        made = node_execution_pb2.NodeExecutionGetDataResponse()
        begun = state.started_at is not None
        outputs = writing.outputs_url(shown, id) if state.phase is NodePhase.SUCCEEDED else None
        await self._put_values(made, shown.layout.node_inputs(id) if begun else None, outputs)
        await self._put_flyte_urls(made.flyte_urls, shown, id)
        return made

    async def nodes(self, caller: Caller, request: Message) -> Message:
        """Of the execution, or the parts of a node."""
        _no_filters(request)
        shown = await self._whole(caller, request.workflow_execution_id)
        parent = request.unique_parent_id
        graph, state = shown.program.graph, shown.execution.state
        if parent and parent not in graph.nodes:
            raise FlyteError(NOT_FOUND, f"there is no node {parent}", "unique_parent_id")
        ids = [id for id in graph.parts(parent) if id in state.nodes]
        rows, token = _page(ids, request)
        listed = [await self._shown_node(shown, id) for id in rows]
        return node_execution_pb2.NodeExecutionList(node_executions=listed, token=token)

    async def nodes_of_task(self, caller: Caller, request: Message) -> Message:
        """Tasks that make nodes, dynamic ones, are not run here."""
        await self._attempt(caller, request.task_execution_id)
        return node_execution_pb2.NodeExecutionList()

    async def dynamic(self, caller: Caller, request: Message) -> Message:
        raise FlyteError(UNIMPLEMENTED, "dynamic tasks are not run here")

    # --- attempts -------------------------------------------------------------------------------------------------------

    async def attempt(self, caller: Caller, request: Message) -> Message:
        return (await self._attempt(caller, request.id))[2]

    async def attempt_data(self, caller: Caller, request: Message) -> Message:
        shown, id, found = await self._attempt(caller, request.id)
        made = task_execution_pb2.TaskExecutionGetDataResponse()
        await self._put_values(made, found.input_uri, found.closure.output_uri or None)
        await self._put_flyte_urls(made.flyte_urls, shown, id, found.id.retry_attempt)
        return made

    async def attempts(self, caller: Caller, request: Message) -> Message:
        _no_filters(request)
        shown, id = await self._node(caller, request.node_execution_id)
        rows, token = _page(writing.task_executions(shown, id, await self._views(shown, id)), request)
        return task_execution_pb2.TaskExecutionList(task_executions=rows, token=token)

    # --- what is asked for ----------------------------------------------------------------------------------------------

    async def _document(self, caller: Caller, id: Message) -> Document:
        for field, text in (("id.project", id.project), ("id.domain", id.domain), ("id.name", id.name)):
            if not text:
                raise invalid(field, "is required")
        workspace = (await self._places.workspace(caller, id.project, id.domain, "id")).id
        key = names.key(id.project, id.domain, id.name)
        found = await self._documents.get(caller, workspace, EXECUTION_KIND, key)
        if found is None:
            raise FlyteError(NOT_FOUND, f"there is no execution {id.project}/{id.domain}/{id.name}")
        return found

    def _layout(self, document: Document) -> Layout:
        one = read_execution(document.body)
        return Layout.of(self._data.root, document.workspace, one.project, one.domain, one.name)

    def _shown(self, caller: Caller, document: Document) -> Message:
        masked = not caller.may(document.workspace, Role.EDITOR)
        return writing.execution(read_execution(document.body), self._layout(document), masked=masked)

    async def _whole(self, caller: Caller, id: Message) -> Shown:
        document = await self._document(caller, id)
        one = read_execution(document.body)
        program = await self._programs.get(document.workspace, one.program)
        return Shown(one, program, self._layout(document), self._services.clock.now())

    async def _node(self, caller: Caller, id: Message) -> tuple[Shown, str]:
        shown = await self._whole(caller, id.execution_id)
        if id.node_id not in shown.execution.state.nodes:
            raise FlyteError(
                NOT_FOUND, f"node {id.node_id!r} of {id.execution_id.name} has not been reached, or is not there"
            )
        return shown, str(id.node_id)

    async def _attempt(self, caller: Caller, id: Message) -> tuple[Shown, str, Message]:
        shown, node = await self._node(caller, id.node_execution_id)
        rows = writing.task_executions(shown, node, await self._views(shown, node))
        for row in rows:
            if row.id.retry_attempt == id.retry_attempt and _same_task(row.id.task_id, id.task_id):
                return shown, node, row
        raise FlyteError(NOT_FOUND, f"node {node} has no attempt {id.retry_attempt} of task {id.task_id.name!r}")

    async def _views(self, shown: Shown, id: str) -> dict[str, RunView]:
        found = [await self._runs.get(run) for run in writing.watched(shown, id)]
        return {view.id: view for view in found if view is not None}

    async def _shown_node(self, shown: Shown, id: str) -> Message:
        return writing.node_execution(shown, id, deck=await self._has_deck(shown, id))

    async def _has_deck(self, shown: Shown, id: str) -> bool:
        attempt = writing.may_have_deck(shown, id)
        return attempt is not None and await self._data.size(writing.deck_uri(shown, id, attempt)) is not None

    # --- values ---------------------------------------------------------------------------------------------------------

    async def _values(self, url: str) -> Message | None:
        try:
            return await literal_map(self._data, url)
        except BindingFailed as error:
            raise FlyteError(FAILED_PRECONDITION, str(error)) from error

    async def _put_values(self, made: Message, inputs: str | None, outputs: str | None) -> None:
        """Inputs and outputs in their fields: whole, or where they are when they are large."""
        room = INLINE
        for field, url in (("inputs", inputs), ("outputs", outputs)):
            size = await self._data.size(url) if url is not None else None
            if url is None or size is None:
                continue
            getattr(made, field).url = url
            getattr(made, field).bytes = size
            if size <= room:
                room -= size
                getattr(made, f"full_{field}").CopyFrom(await self._values(url) or literals_pb2.LiteralMap())

    async def _put_flyte_urls(self, urls: Message, shown: Shown, id: str, attempt: int | None = None) -> None:
        """Names by which the data proxy finds the same."""
        one = shown.execution
        if shown.program.graph.nodes[id].kind is not Kind.TASK:
            return
        base = f"flyte://v1/{one.project}/{one.domain}/{one.name}/{id}" + ("" if attempt is None else f"/{attempt}")
        urls.inputs, urls.outputs = f"{base}/i", f"{base}/o"
        if await self._has_deck(shown, id):
            urls.deck = f"{base}/d"


def _no_filters(request: Message) -> None:
    if request.filters:
        raise FlyteError(UNIMPLEMENTED, "these cannot be filtered here; leave the filters out", "filters")
    check_sort(request.sort_by, ("created_at",), ascending=True)


def _page(rows: Sequence[Any], request: Message) -> tuple[Sequence[Any], str]:
    """A part of what one execution has: the token is the place where the next begins."""
    if request.token and not request.token.isdecimal():
        raise invalid("token", "is not one that a list of this server gave")
    start, limit = int(request.token or 0), limit_of(request.limit)
    return rows[start : start + limit], str(start + limit) if start + limit < len(rows) else ""


def _same_task(found: Message, asked: Message) -> bool:
    """Clients may leave out the kind of the identifier."""
    names_of = ("project", "domain", "name", "version")
    return all(getattr(found, field) == getattr(asked, field) for field in names_of)
