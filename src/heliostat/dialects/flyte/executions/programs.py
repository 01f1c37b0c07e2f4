"""What executions interpret: compiled workflows with their tasks, or single tasks, kept by the digest of what is in them.

An execution goes on with what it was begun with, wherever its project's workspace may be by then.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flyteidl.core import compiler_pb2

from heliostat.domain.documents import NewDocument, ref
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import WorkspaceId
from heliostat.services import Caller, DocumentService

from ..admin.references import Reference
from .graph import Graph, build

KIND = "flyte.program"
KEPT = 32
"""Programs at hand in memory; others are read again."""


@dataclass(frozen=True)
class Program:
    key: str
    graph: Graph
    interface: Any
    """core.TypedInterface; flyteidl ships no types."""
    tasks: Mapping[Reference, Any] = field(repr=False)
    """core.TaskTemplate"""
    single: bool
    """A task by itself."""

    @classmethod
    def of(cls, closure: Any) -> Program:
        """Raises FlyteError for what cannot be executed here."""
        rows = [row.template for row in closure.tasks]
        tasks = {Reference(row.id.project, row.id.domain, row.id.name, row.id.version): row for row in rows}
        single = not closure.HasField("primary")
        interface = rows[0].interface if single else closure.primary.template.interface
        return cls(digest(closure), build(closure), interface, tasks, single)


def of_task(template: Any) -> Any:
    """The core.CompiledWorkflowClosure of a single task."""
    return compiler_pb2.CompiledWorkflowClosure(tasks=[compiler_pb2.CompiledTask(template=template)])


def digest(closure: Any) -> str:
    return hashlib.sha256(closure.SerializeToString(deterministic=True)).hexdigest()


class Programs:
    def __init__(self, documents: DocumentService) -> None:
        self._documents = documents
        self._known: OrderedDict[str, Program] = OrderedDict()

    async def keep(self, caller: Caller, workspace: WorkspaceId, closure: Any) -> Program:
        """Raises FlyteError for what cannot be executed here."""
        program = Program.of(closure)
        body = closure.SerializeToString(deterministic=True)
        await self._documents.add(caller, NewDocument(KIND, workspace, program.key, body))
        return self._noted(program)

    async def get(self, workspace: WorkspaceId, key: str) -> Program:
        if key in self._known:
            return self._noted(self._known[key])
        found = await self._documents.load(ref(KIND, workspace, key))
        if found is None:
            raise Unavailable(f"the workflow {key} of an execution is not stored")
        return self._noted(Program.of(compiler_pb2.CompiledWorkflowClosure.FromString(found.body)))

    def _noted(self, program: Program) -> Program:
        self._known[program.key] = program
        self._known.move_to_end(program.key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return program
