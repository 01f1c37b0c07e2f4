"""A connector whose answers are written down beforehand, for the propeller's own tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
from flyteidl.admin import agent_pb2
from flyteidl.service import agent_pb2_grpc

Answer = Any
"""A ``Resource``, an error's status code, or a function of the request that gives one of them (perhaps awaited)."""


def file_of(prefix: str, name: str) -> Path:
    """A file below an output prefix."""
    return Path(unquote(prefix.removeprefix("file://")), name)


@dataclass
class FakeConnector(agent_pb2_grpc.AsyncAgentServiceServicer, agent_pb2_grpc.AgentMetadataServiceServicer):  # type: ignore[misc]
    """Answers in the order of the lists; the last answer of a list is repeated."""

    looks: list[Answer] = field(default_factory=list)
    creations: list[Answer] = field(default_factory=lambda: [None])
    """None = a meta that is the request's number."""
    deletions: list[Answer] = field(default_factory=lambda: [None])
    agents: list[Any] = field(default_factory=list)
    created: list[Any] = field(default_factory=list)
    looked: list[Any] = field(default_factory=list)
    deleted: list[Any] = field(default_factory=list)
    deadlines: dict[str, float | None] = field(default_factory=dict)
    """Seconds that were left at the last call of a method."""
    metadata: dict[str, str] = field(default_factory=dict)
    address: str = ""

    async def ListAgents(self, request: Any, context: Any) -> Any:
        self._met("ListAgents", context)
        return agent_pb2.ListAgentsResponse(agents=self.agents)

    async def CreateTask(self, request: Any, context: Any) -> Any:
        self._met("CreateTask", context)
        self.created.append(request)
        await _answer(self.creations, len(self.created), request, context)
        return agent_pb2.CreateTaskResponse(resource_meta=b"%d" % len(self.created))

    async def GetTask(self, request: Any, context: Any) -> Any:
        self._met("GetTask", context)
        self.looked.append(request)
        resource = await _answer(self.looks, len(self.looked), request, context)
        return agent_pb2.GetTaskResponse(resource=resource)

    async def DeleteTask(self, request: Any, context: Any) -> Any:
        self._met("DeleteTask", context)
        self.deleted.append(request)
        await _answer(self.deletions, len(self.deleted), request, context)
        return agent_pb2.DeleteTaskResponse()

    def _met(self, method: str, context: Any) -> None:
        left = context.time_remaining()
        self.deadlines[method] = None if left is None or left > 1e6 else left
        self.metadata = dict(context.invocation_metadata())


async def _answer(answers: list[Answer], number: int, request: Any, context: Any) -> Any:
    answer = answers[min(number, len(answers)) - 1]
    if isinstance(answer, Callable):  # type: ignore[arg-type]
        answer = answer(request)
    if asyncio.iscoroutine(answer):
        answer = await answer
    if isinstance(answer, grpc.StatusCode):
        await context.abort(answer, "as written down")
    return answer


@asynccontextmanager
async def fake_connector(**answers: Any) -> AsyncIterator[FakeConnector]:
    """Serving at ``address``."""
    server = grpc.aio.server()
    connector = FakeConnector(**answers)
    agent_pb2_grpc.add_AsyncAgentServiceServicer_to_server(connector, server)
    agent_pb2_grpc.add_AgentMetadataServiceServicer_to_server(connector, server)
    connector.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield connector
    finally:
        await server.stop(None)
