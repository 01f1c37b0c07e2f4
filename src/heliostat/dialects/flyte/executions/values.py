"""Reads and writes what nodes take and give: files below the data root, by the node that they are of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from flyteidl.core import literals_pb2
from google.protobuf.message import DecodeError

from heliostat.domain.errors import InvalidRequest
from heliostat.services import DataService

from .graph import START, Kind
from .layout import OUTPUTS, Layout
from .literals import BindingFailed, bind, sources
from .programs import Program
from .state import Execution, State

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any
LARGE = 256 << 10
"""Bytes from which on it is parsed beside the event loop."""


class Values:
    """Of one execution, for one look; what was read is kept that long. Methods raise Unavailable and BindingFailed."""

    def __init__(self, data: DataService, layout: Layout, program: Program, execution: Execution) -> None:
        self._data = data
        self._layout = layout
        self._program = program
        self._inputs_url = execution.inputs_url
        self._read: dict[str, Message | None] = {}

    async def bound(self, bindings: Iterable[Message], scope: str, state: State) -> Message:
        """The core.LiteralMap that bindings make in a scope."""
        rows = tuple(bindings)
        values = {}
        for source in sorted(sources(rows)):
            given = await (self._of_scope(scope) if source == START else self._of_source(source, scope, state))
            values[source] = given
        if any(row.ByteSize() > LARGE for given in values.values() for row in given.values()):
            return await asyncio.to_thread(bind, rows, values)
        return bind(rows, values)

    async def outputs(self, id: str, state: State) -> Message:
        """What a node that is done has put out."""
        node = self._program.graph.nodes[id]
        if node.kind is Kind.BRANCH:
            arm = state.nodes[id].arm
            if arm is None:
                raise BindingFailed(f"node {node.spec_id} has chosen nothing")
            inner = node.arms[arm].node
            return self._under_aliases(inner, await self.outputs(inner, state))
        if node.kind is not Kind.TASK:
            return await self._file(self._layout.node_outputs(id), node.spec_id)
        last = state.nodes[id].elements[0][-1]
        return await self._task_outputs(id, f"{self._layout.prefix(id, last.number)}/{OUTPUTS}")

    async def element_outputs(self, id: str, element: int, state: State) -> Message:
        last = state.nodes[id].elements[element][-1]
        return await self._task_outputs(id, f"{self._layout.prefix(id, last.number, element)}/{OUTPUTS}")

    async def inputs(self, id: str) -> Message:
        """What a node was given."""
        return await self._file(self._layout.node_inputs(id), self._program.graph.nodes[id].spec_id)

    async def write(self, url: str, values: Message) -> None:
        await self._data.write(url, values.SerializeToString(deterministic=True))

    async def _of_scope(self, scope: str) -> dict[str, Message]:
        given = await self.inputs(scope) if scope else await self._file(self._inputs_url, START)
        return dict(given.literals)

    async def _of_source(self, spec_id: str, scope: str, state: State) -> dict[str, Message]:
        id = self._program.graph.scopes[scope].ids[spec_id]
        return dict(self._under_aliases(id, await self.outputs(id, state)).literals)

    def _under_aliases(self, id: str, found: Message) -> Message:
        """The outputs, also by the names under which others ask for them."""
        aliases = self._program.graph.nodes[id].aliases
        if not aliases:
            return found
        made = literals_pb2.LiteralMap()
        made.CopyFrom(found)
        for alias, name in aliases.items():
            if name in found.literals:
                made.literals[alias].CopyFrom(found.literals[name])
        return made

    async def _task_outputs(self, id: str, url: str) -> Message:
        task = self._program.graph.nodes[id].task
        void = task is not None and not self._program.tasks[task].interface.outputs.variables
        return literals_pb2.LiteralMap() if void else await self._file(url, self._program.graph.nodes[id].spec_id)

    async def _file(self, url: str, whose: str) -> Message:
        if url not in self._read:
            self._read[url] = await literal_map(self._data, url)
        found = self._read[url]
        if found is None:
            raise BindingFailed(f"the values of {whose} are not there any more")
        return found


async def literal_map(data: DataService, url: str) -> Message | None:
    """A core.LiteralMap at a URL; None = there is nothing. Raises Unavailable, BindingFailed."""
    try:
        found = await data.read(url)
        if found is None:
            return None
        if len(found) > LARGE:
            return await asyncio.to_thread(literals_pb2.LiteralMap.FromString, found)
        return literals_pb2.LiteralMap.FromString(found)
    except InvalidRequest as error:
        raise BindingFailed(error.message) from error
    except DecodeError as error:
        raise BindingFailed("what was put out is no map of literals") from error
