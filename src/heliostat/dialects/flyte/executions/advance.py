"""One look at an execution: what has become of its runs, what follows, doing it, writing it down.

What is about to be done is written down first, what was done afterwards. A crash in between has the same steps owed again: files
are written over with the same, a run is found by its place. Someone who changes the document meanwhile (an abort) wins: the look
begins anew with that.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from heliostat.domain.documents import Document
from heliostat.domain.errors import Conflict, Forbidden, HeliostatError, NotFound, Retry
from heliostat.domain.ids import PrincipalId
from heliostat.domain.records import Principal, Role
from heliostat.services import Caller, Services

from ..runs import Phase, RunView
from ..runs.outcome import OUTPUTS_NOT_FOUND
from ..runs.runs import Runs
from ..translate.submission import RunPlace
from . import applied
from .conditions import ConditionFailed, choose
from .decide import BeginAttempt, BeginNode, FinishNode, Step, StopAttempt, decide
from .graph import Kind
from .layout import FUTURES, Layout, part
from .literals import BindingFailed, array_size, collected, element
from .programs import Program, Programs
from .rendering import Attempted, asks_for_inputs, checkpoint, overridden, rendered
from .state import Fault, State, read_execution
from .values import Values

log = structlog.get_logger()
LOOK_AGAIN = timedelta(seconds=30)
"""At one whose runs go on: their news come by themselves, but may be lost."""
NOW = timedelta(0)
MOST_ROUNDS = 100
"""Of steps in one look; the rest comes in the next."""
MOST_ELEMENTS = 5000
"""Of a map task, as in Flyte."""
INDEX = "FLYTE_K8S_ARRAY_INDEX"
DYNAMIC = "DynamicNotSupported"
STOPPER = Caller(Principal(PrincipalId("heliostat"), "heliostat", admin=True))
"""Ends runs that an execution has begun, when its creator may not do so any more. Nothing else is done in this name."""


class Refused(Exception):
    """The execution cannot go on; the message says why."""


@dataclass(frozen=True)
class _Done:
    """What steps have come to."""

    state: State
    trouble: HeliostatError | None = None
    """Why some are still owed."""


class Advance:
    def __init__(
        self, services: Services, runs: Runs, programs: Programs, document: Document, keep: timedelta | None = None
    ) -> None:
        self._services = services
        self._keep = keep
        self._data = services.data
        self._runs = runs
        self._programs = programs
        self._document = document
        self._execution = read_execution(document.body)
        one = self._execution
        self._layout = Layout.of(self._data.root, document.workspace, one.project, one.domain, one.name)
        self._creator: Caller | None = None

    async def go_on(self) -> timedelta | None:
        """As far as it comes. When to look again at the latest; None = it is over, or woken."""
        one = self._execution
        self._program: Program = await self._programs.get(self._document.workspace, one.program)
        self._values = Values(self._data, self._layout, self._program, one)
        try:
            return await self._rounds(await self._views(one.state))
        except Conflict:
            return NOW  # another has changed it: begin with what is there now

    async def _rounds(self, views: dict[str, RunView | None]) -> timedelta | None:
        state = self._execution.state
        for _ in range(MOST_ROUNDS):
            limit = self._execution.options.max_parallelism
            plan = decide(self._program.graph, state, views, self._now(), limit)
            views = {}
            if plan.state != state:
                state = plan.state
                await self._save(state)
            if not plan.steps:
                return None if state.phase.final else LOOK_AGAIN
            done = await self._perform(plan.steps, state)
            if done.state != state:
                state = done.state
                await self._save(state)
            if done.trouble is not None:
                raise done.trouble
        return NOW

    async def _perform(self, steps: tuple[Step, ...], state: State) -> _Done:
        """All of them: one that cannot be done now keeps none of the others from being written down."""
        trouble: HeliostatError | None = None
        for step in steps:
            try:
                state = await self._step(step, state)
            except Refused as error:
                fault = Fault("PermissionDenied", f"[PermissionDenied] {error}", "USER")
                return _Done(applied.execution_refused(state, self._now(), fault))
            except HeliostatError as error:
                trouble = trouble or error
        return _Done(state, trouble)

    async def _step(self, step: Step, state: State) -> State:
        match step:
            case BeginNode():
                return await self._begin_node(step.node, state)
            case BeginAttempt():
                return await self._begin_attempt(step, state)
            case StopAttempt():
                return await self._stop_attempt(step, state)
            case FinishNode():
                return await self._finish_node(step.node, state)
            case _:
                return await self._finish(state)

    # --- nodes ----------------------------------------------------------------------------------------------------------

    async def _begin_node(self, id: str, state: State) -> State:
        node = self._program.graph.nodes[id]
        arm: int | None = None
        size: int | None = None
        try:
            inputs = await self._values.bound(node.inputs, node.scope, state)
            if node.kind is Kind.BRANCH:
                arm = choose(node.arms, inputs)
                if arm is None:
                    told = node.otherwise or "no condition of the branch holds"
                    fault = Fault("BranchFailed", f"[BranchFailed] node {node.spec_id}: {told}", "USER", id)
                    return applied.node_failed(state, id, self._now(), fault)
            elif node.kind is Kind.ARRAY:
                size = await asyncio.to_thread(array_size, inputs, node.array.bound)
                if size > MOST_ELEMENTS:
                    raise BindingFailed(f"its lists have {size} elements, and at most {MOST_ELEMENTS} can be mapped")
        except BindingFailed as error:
            return self._failed(id, state, "BindingFailed", f"node {node.spec_id}: input {error}")
        except ConditionFailed as error:
            return self._failed(id, state, "ConditionFailed", f"node {node.spec_id}: {error}")
        await self._values.write(self._layout.node_inputs(id), inputs)
        return applied.node_begun(self._program.graph, state, id, self._now(), arm=arm, size=size)

    async def _finish_node(self, id: str, state: State) -> State:
        graph = self._program.graph
        node = graph.nodes[id]
        try:
            if node.kind is Kind.ARRAY:
                outputs = await self._collected(id, state)
            else:
                outputs = await self._values.bound(graph.scopes[id].outputs, id, state)
        except BindingFailed as error:
            return self._failed(id, state, "BindingFailed", f"node {node.spec_id}: output {error}")
        await self._values.write(self._layout.node_outputs(id), outputs)
        return applied.node_finished(state, id, self._now())

    async def _collected(self, id: str, state: State) -> Any:  # a core.LiteralMap
        node, rows = self._program.graph.nodes[id], []
        names = sorted(self._program.tasks[node.task].interface.outputs.variables) if node.task is not None else []
        if not names:
            return collected((), ())
        for index in range(state.nodes[id].size or 0):
            done = state.nodes[id].elements[index][-1].phase is Phase.SUCCEEDED
            rows.append(await self._values.element_outputs(id, index, state) if done else None)
        return await asyncio.to_thread(collected, names, rows)

    async def _finish(self, state: State) -> State:
        try:
            outputs = await self._values.bound(self._program.graph.scopes[""].outputs, "", state)
        except BindingFailed as error:
            fault = Fault("BindingFailed", f"[BindingFailed] output {error}", "SYSTEM")
            return applied.execution_finished(state, self._now(), fault)
        await self._values.write(self._layout.outputs, outputs)
        return applied.execution_finished(state, self._now())

    def _failed(self, id: str, state: State, code: str, message: str) -> State:
        return applied.node_failed(state, id, self._now(), Fault(code, f"[{code}] {message}", "USER", id))

    # --- attempts -------------------------------------------------------------------------------------------------------

    async def _begin_attempt(self, step: BeginAttempt, state: State) -> State:
        try:
            run = await self._make_run(step, state)
        except HeliostatError as error:
            if isinstance(error, Forbidden) or (isinstance(error, NotFound) and error.kind == "workspace"):
                raise Refused(self._rights(error)) from error
            if error.retry is Retry.LATER and not isinstance(error, Conflict):
                raise
            return applied.attempt_refused(state, step, self._now(), _refusal(error))
        return applied.attempt_begun(state, step, run, self._now())

    async def _stop_attempt(self, step: StopAttempt, state: State) -> State:
        run = step.run
        if run is None:
            # It may have been made by one who could not write that down: whoever asks again is given that one.
            try:
                run = await self._make_run(BeginAttempt(step.node, step.element, step.number), state)
            except (HeliostatError, Refused) as error:
                if isinstance(error, HeliostatError) and error.retry is Retry.LATER and not isinstance(error, Conflict):
                    raise
                fault = Fault("Aborted", "it was not begun", "USER")
                return applied.attempt_refused(state, step, self._now(), fault)
        await self._runs.delete(await self._stopper(), run)
        return applied.attempt_stopping(state, step, run, self._now())

    async def _make_run(self, step: BeginAttempt, state: State) -> str:
        """Raises HeliostatError and Refused."""
        one, node = self._execution, self._program.graph.nodes[step.node]
        assert node.task is not None  # only tasks have attempts
        index = step.element if node.kind is Kind.ARRAY else None
        inputs_url = self._layout.node_inputs(step.node)
        if index is not None and node.array.own_inputs:
            inputs_url = self._layout.element_inputs(step.node, index)
            given = element(await self._values.inputs(step.node), node.array.bound, index)
            await self._values.write(inputs_url, given)
        prefix = self._layout.prefix(step.node, step.number, index)
        template = overridden(self._program.tasks[node.task], node)
        values = (await self._values.inputs(step.node)).literals if asks_for_inputs(template) else {}
        previous = self._raw(step, index, step.number - 1) if step.number else None
        attempted = Attempted(
            inputs=inputs_url,
            output_prefix=prefix,
            raw_prefix=self._raw(step, index, step.number),
            previous_checkpoint=previous and checkpoint(previous),
            unique=hashlib.sha256(prefix.encode()).hexdigest()[:32],
            namespace=f"{one.project}-{one.domain}",
            values=values,
        )
        options = one.options
        whose = {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": INDEX, INDEX: str(index)} if index is not None else {}
        place = RunPlace(
            project=one.project, domain=one.domain, execution=one.name, node=step.node, attempt=step.number,
            task=node.task, output_prefix=prefix, workflow=one.target.name,
            environment={**options.environment, **whose}, labels=options.labels, annotations=options.annotations,
            service_account=options.service_account,
        )  # fmt: skip
        caller, made = await self._caller(), rendered(template, attempted)
        return await self._runs.create(caller, self._document.workspace, made, place, None, of_execution=True)

    def _raw(self, step: BeginAttempt, index: int | None, attempt: int) -> str:
        one = self._execution
        words = [one.name, step.node, *([] if index is None else [str(index)]), str(attempt)]
        return f"{one.options.raw_prefix}/{part('-'.join(words))}"

    async def _views(self, state: State) -> dict[str, RunView | None]:
        """What has become of the runs that are not over."""
        found: dict[str, RunView | None] = {}
        for id, node in state.nodes.items():
            for index, row in node.elements.items():
                run = row[-1].run
                if run is None or row[-1].settled:
                    continue
                view = await self._runs.get(run)
                mapped = self._program.graph.nodes[id].kind is Kind.ARRAY
                prefix = self._layout.prefix(id, row[-1].number, index if mapped else None)
                found[run] = view and await self._without_futures(view, prefix)
        return found

    async def _without_futures(self, view: RunView, prefix: str) -> RunView:
        """A task that asks for more tasks to be run fails: it has put out nothing that others could use."""
        ended_well = view.settled and (view.phase is Phase.SUCCEEDED or view.code == OUTPUTS_NOT_FOUND)
        if not ended_well or await self._data.size(f"{prefix}/{FUTURES}") is None:
            return view
        told = (
            f"[{DYNAMIC}] it is a dynamic task, which wants more tasks to be run by Flyte; dynamic tasks are not supported here: "
            "use a workflow with map tasks and conditions, or run it on a Flyte backend with Heliostat as its connector"
        )
        return replace(view, phase=Phase.FAILED, code=DYNAMIC, message=told, recoverable=False, origin="USER")

    async def _caller(self) -> Caller:
        """The creator, with present roles. Raises Refused."""
        if self._creator is None:
            found = await self._services.identity.principal(self._document.creator)
            if found is None:
                raise Refused(
                    "who began this execution is not known here any more; begin it again as another principal"
                )
            self._creator = Caller(found)
        return self._creator

    async def _stopper(self) -> Caller:
        """Who ends runs: the creator, while that one may."""
        try:
            creator = await self._caller()
        except Refused:
            return STOPPER
        return creator if creator.may(self._document.workspace, Role.EDITOR) else STOPPER

    def _rights(self, error: HeliostatError) -> str:
        name = self._creator.principal.name if self._creator is not None else "its creator"
        return f"a task could not be begun in the name of {name}: {error}"

    # --- the document ---------------------------------------------------------------------------------------------------

    async def _save(self, state: State) -> None:
        before = self._execution.state.phase
        self._execution = replace(self._execution, state=state)
        body = self._execution.write()
        over = state.phase.final
        expires = self._now() + self._keep if over and self._keep is not None else None
        self._document = await self._services.documents.save(
            replace(self._document, body=body, open=not over, expires_at=expires)
        )
        if state.phase is not before:
            log.info("execution goes on", execution=self._document.key, phase=state.phase.name)

    def _now(self) -> datetime:
        return self._services.clock.now()


def _refusal(error: HeliostatError) -> Fault:
    return Fault("TaskRefused", f"[TaskRefused] {error}", "USER")
