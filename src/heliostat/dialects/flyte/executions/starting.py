"""How an execution begins: who asks, what is to be run, with what, under which name; all that is wrong is told before anything is
stored.

First what it interprets is kept, then its inputs, at last its document, from which the conductor goes on. A crash before the
last leaves nothing that counts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flyteidl.admin import execution_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2

from heliostat.domain.documents import Document, NewDocument
from heliostat.domain.errors import Forbidden
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role
from heliostat.services import Caller, Services

from .. import names
from ..admin.references import Reference, reference
from ..admin.registry import Registry
from ..errors import ALREADY_EXISTS, NOT_FOUND, UNIMPLEMENTED, FlyteError, invalid
from ..places import Places
from ..runs import EXECUTION_KIND
from .interfaces import plan_inputs, task_inputs
from .layout import Layout, raw_prefix
from .phases import ExecutionPhase
from .programs import Program, Programs, of_task
from .state import Execution, Options, State, Target, read_execution

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
LONGEST_NAME = 63
PARALLELISM = 25
"""Attempts at a time of one execution, unless it says otherwise; as in Flyte."""
MOST_PARALLELISM = 1000
LARGEST_INPUTS = 32 << 20
"""Bytes. Larger values belong into files and frames, which are only pointed to."""
LARGEST_BODY = 512 << 10
"""Bytes of what is stored of an execution at its beginning: that is stored again with each step, and shown in lists."""


@dataclass(frozen=True)
class _Wanted:
    """What is to be run."""

    target: Target
    closure: Message
    """core.CompiledWorkflowClosure"""
    plan: Message | None
    """admin.LaunchPlanSpec"""


class Starter:
    """Methods raise FlyteError and HeliostatError."""

    def __init__(self, services: Services, places: Places, registry: Registry, programs: Programs) -> None:
        self._services = services
        self._places = places
        self._registry = registry
        self._programs = programs

    async def create(self, caller: Caller, request: Message) -> Message:
        """The identifier (core.WorkflowExecutionIdentifier) of what admin.ExecutionCreateRequest asks for."""
        workspace = await self._workspace(caller, request.project, request.domain)
        if not caller.may(workspace, Role.EDITOR):
            raise Forbidden("begin executions", caller.principal.name, Role.EDITOR)
        name = self._name(request.name)
        _check_spec(request.spec)
        await self._check_free(caller, workspace, request.project, request.domain, name)
        wanted = await self._wanted(caller, request.spec.launch_plan)
        program = await self._programs.keep(caller, workspace, wanted.closure)
        given = request.inputs if request.HasField("inputs") else request.spec.inputs
        if wanted.plan is None:
            inputs = task_inputs(program.interface, given)
        else:
            inputs = plan_inputs(program.interface, wanted.plan.default_inputs, wanted.plan.fixed_inputs, given)
        root = self._services.data.root
        options = _options(request.spec, wanted.plan, raw_prefix(root, workspace, request.project, request.domain))
        spec = _kept_spec(request.spec, caller, execution_pb2.ExecutionMetadata.MANUAL)
        return await self._begin(
            caller, workspace, (request.project, request.domain, name), wanted.target, program, spec, inputs, options
        )

    async def relaunch(self, caller: Caller, request: Message, document: Document, inputs: Message) -> Message:
        """The same again, with the same inputs, from the beginning (admin.ExecutionRelaunchRequest)."""
        if not caller.may(document.workspace, Role.EDITOR):
            raise Forbidden("begin executions", caller.principal.name, Role.EDITOR)
        old = read_execution(document.body)
        name = self._name(request.name)
        await self._check_free(caller, document.workspace, old.project, old.domain, name)
        spec = execution_pb2.ExecutionSpec.FromString(old.spec)
        spec.overwrite_cache = spec.overwrite_cache or request.overwrite_cache
        spec = _kept_spec(spec, caller, execution_pb2.ExecutionMetadata.RELAUNCH)
        spec.metadata.reference_execution.CopyFrom(request.id)
        program = await self._programs.get(document.workspace, old.program)
        place = (old.project, old.domain, name)
        return await self._begin(caller, document.workspace, place, old.target, program, spec, inputs, old.options)

    async def _begin(
        self, caller: Caller, workspace: WorkspaceId, place: tuple[str, str, str], target: Target, program: Program,
        spec: Message, inputs: Message, options: Options,
    ) -> Message:  # fmt: skip
        project, domain, name = place
        data = inputs.SerializeToString(deterministic=True)
        if len(data) > LARGEST_INPUTS:
            raise invalid(
                "inputs",
                f"have {len(data)} bytes, and at most {LARGEST_INPUTS} can be given; pass large values as files",
            )
        layout = Layout.of(self._services.data.root, workspace, project, domain, name)
        url = layout.inputs(hashlib.sha256(data).hexdigest())
        now = self._services.clock.now()
        execution = Execution(
            project, domain, name, target, spec.SerializeToString(deterministic=True), program.key, url, options,
            State(ExecutionPhase.QUEUED, now, now),
        )  # fmt: skip
        body, key = execution.write(), names.key(project, domain, name)
        if len(body) > LARGEST_BODY:
            told = "all that it, or its launch plan, says besides inputs is too long"
            raise invalid("spec", f"{told}: it takes {len(body)} bytes, and at most {LARGEST_BODY} can be kept")
        await self._services.data.write(url, data)
        wish = NewDocument(EXECUTION_KIND, workspace, key, body, group=names.key(project, domain), open=True)
        _, fresh = await self._services.documents.add(caller, wish)
        if not fresh:
            raise _taken(project, domain, name)
        return identifier_pb2.WorkflowExecutionIdentifier(project=project, domain=domain, name=name)

    async def _workspace(self, caller: Caller, project: str, domain: str) -> WorkspaceId:
        for field, text in (("project", project), ("domain", domain)):
            if not text:
                raise invalid(field, "is required")
        if len(names.key(project, domain)) > names.LONGEST_KEY - LONGEST_NAME:
            raise invalid("project", "is too long, together with the domain")
        return (await self._places.workspace(caller, project, domain)).id

    def _name(self, asked: str) -> str:
        name = asked or names.new_execution_name()
        if not _NAME.fullmatch(name):
            raise invalid("name", "must be 1 to 63 lower-case letters, digits and '-', the first a letter")
        return name

    async def _check_free(self, caller: Caller, workspace: WorkspaceId, project: str, domain: str, name: str) -> None:
        key = names.key(project, domain, name)
        if await self._services.documents.get(caller, workspace, EXECUTION_KIND, key) is not None:
            raise _taken(project, domain, name)

    async def _wanted(self, caller: Caller, id: Message) -> _Wanted:
        path = "spec.launch_plan"
        if id.resource_type == identifier_pb2.TASK:
            task = reference(id, identifier_pb2.TASK, path)
            template = await self._registry.task(caller, task)
            return _Wanted(Target("task", *task), of_task(template), None)
        if id.resource_type == identifier_pb2.WORKFLOW:
            workflow = reference(id, identifier_pb2.WORKFLOW, path)
            plan = launch_plan_pb2.LaunchPlanSpec()
        else:
            ref = reference(id, identifier_pb2.LAUNCH_PLAN, path)
            plan = await self._registry.launch_plan(caller, ref)
            workflow = _of_plan(plan, ref)
        closure = await self._registry.workflow(caller, workflow)
        return _Wanted(Target("workflow", *workflow), closure, plan)


def _of_plan(plan: Message, ref: Reference) -> Reference:
    try:
        return reference(plan.workflow_id, identifier_pb2.WORKFLOW, "spec.workflow_id")
    except FlyteError as error:
        raise FlyteError(NOT_FOUND, f"launch plan {ref} names no workflow: {error}") from error


def _taken(project: str, domain: str, name: str) -> FlyteError:
    return FlyteError(
        ALREADY_EXISTS, f"an execution {project}/{domain}/{name} exists already; choose another name", "name"
    )


def _check_spec(spec: Message) -> None:
    """Raises FlyteError for what is asked for and will not be done."""
    if spec.notifications.notifications:
        raise FlyteError(UNIMPLEMENTED, "notifications are not supported here; leave them out", "spec.notifications")
    if spec.cluster_assignment.cluster_pool_name:
        raise FlyteError(
            UNIMPLEMENTED,
            "there are no cluster pools here; give the task the label heliostat/cluster to choose a cluster",
            "spec.cluster_assignment",
        )
    if spec.execution_cluster_label.value:
        raise FlyteError(
            UNIMPLEMENTED,
            "there are no cluster labels here; give the task the label heliostat/cluster to choose a cluster",
            "spec.execution_cluster_label",
        )
    if spec.execution_env_assignments:
        raise FlyteError(
            UNIMPLEMENTED, "execution environments are not supported here", "spec.execution_env_assignments"
        )
    if spec.security_context.secrets:
        raise FlyteError(
            UNIMPLEMENTED, "secrets are asked for by tasks, not by executions", "spec.security_context.secrets"
        )
    if not 0 <= spec.max_parallelism <= MOST_PARALLELISM:
        raise invalid("spec.max_parallelism", f"must be from 0 (the default, {PARALLELISM}) to {MOST_PARALLELISM}")
    for index, row in enumerate(spec.envs.values):
        if not row.key or "=" in row.key or "\0" in row.key + row.value:
            raise invalid(f"spec.envs.values[{index}].key", "must be the name of a variable")


def _options(spec: Message, plan: Message | None, raw: str) -> Options:
    """What the execution says; where it says nothing, what its launch plan says."""
    both = [spec] if plan is None else [spec, plan]
    prefixes = [one.raw_output_data_config.output_location_prefix for one in both]
    limits = [one.max_parallelism for one in both]
    return Options(
        max_parallelism=next((limit for limit in limits if limit > 0), PARALLELISM),
        raw_prefix=next((prefix.rstrip("/") for prefix in prefixes if prefix), raw),
        environment=_merged({row.key: row.value for row in one.envs.values} for one in reversed(both)),
        labels=_merged(dict(one.labels.values) for one in reversed(both)),
        annotations=_merged(dict(one.annotations.values) for one in reversed(both)),
        service_account=next((account for one in both if (account := _account(one))), ""),
    )


def _merged(rows: Any) -> Mapping[str, str]:  # iterable of maps, the later of which win
    return {key: value for row in rows for key, value in row.items()}


def _account(one: Message) -> str:
    identity, old = one.security_context.run_as, one.auth_role
    return str(
        identity.k8s_service_account or identity.iam_role or old.kubernetes_service_account or old.assumable_iam_role
    )


def _kept_spec(spec: Message, caller: Caller, mode: int) -> Message:
    """As it is shown again, without the inputs, which are a file."""
    kept = execution_pb2.ExecutionSpec()
    kept.CopyFrom(spec)
    kept.ClearField("inputs")
    kept.metadata.mode = mode
    kept.metadata.principal = caller.principal.name
    return kept
