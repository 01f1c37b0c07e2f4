"""A server on the simulated engine with Flyte's admin, and clients of it that are nothing but gRPC and HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.service import admin_pb2, auth_pb2, dataproxy_pb2
from google.protobuf import message_factory

from heliostat.dialects.flyte.admin import console_calls
from heliostat.dialects.flyte.admin.grpc_services import PREFIXES, methods
from heliostat.dialects.flyte.admin.http import FlyteHttp
from heliostat.dialects.flyte.admin.registry import Registry
from heliostat.dialects.flyte.authenticate import Authenticator
from heliostat.dialects.flyte.errors import NOT_FOUND, FlyteError
from heliostat.dialects.flyte.places import Places
from heliostat.dialects.flyte.rpc import RpcHandler
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.domain.ids import WorkspaceId
from heliostat.services import Caller, Services
from heliostat.testing.harness import HarnessServer, running

KEY = b"a key for uploads"
PATIENCE = 20.0
SERVICES = {
    method.name: (f"/{service.full_name}/{method.name}", message_factory.GetMessageClass(method.output_type))
    for file in (admin_pb2, dataproxy_pb2, auth_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class Runs:
    """What stands for the methods of runs: answers that a test sets."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[Any] = []

    @property
    def calls(self) -> Mapping[str, Any]:
        requests = {
            "GetExecution": execution_pb2.WorkflowExecutionGetRequest,
            "ListNodeExecutions": node_execution_pb2.NodeExecutionListRequest,
            "GetNodeExecutionData": node_execution_pb2.NodeExecutionGetDataRequest,
            "ListTaskExecutions": task_execution_pb2.TaskExecutionListRequest,
            "GetTaskExecutionData": task_execution_pb2.TaskExecutionGetDataRequest,
        }
        return {name: (request, self._answer(name)) for name, request in requests.items()}

    def _answer(self, name: str) -> Any:
        async def answer(caller: Caller, request: Any) -> Any:
            self.asked.append(request)
            if name not in self.answers:
                raise FlyteError(NOT_FOUND, "there is no such run")
            return self.answers[name]

        return answer


@dataclass
class Door:
    up: HarnessServer
    channel: Any  # grpc ships no types
    http: httpx.AsyncClient
    runs: Runs
    settings: FlyteSettings

    @property
    def services(self) -> Services:
        return self.up.running.server.services

    async def call(self, method: str, request: Any, token: str | None = None) -> Any:
        """Raises grpc.aio.AioRpcError."""
        path, answer = SERVICES[method]
        return answer.FromString(await self.bytes(path, request.SerializeToString(), token))

    async def bytes(self, path: str, data: bytes, token: str | None = None) -> bytes:
        shown = self.up.token if token is None else token
        metadata = (("authorization", f"Bearer {shown}"),) if shown else ()
        found: bytes = await self.channel.unary_unary(path)(data, metadata=metadata, timeout=PATIENCE)
        return found

    async def refused(self, method: str, request: Any, token: str | None = None) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, token)
        return caught.value.code(), caught.value.details() or ""

    async def robot(self, name: str, role: str | None = None) -> str:
        """The token of a principal made for it."""
        made = await self.http.post("/v1/keys", json={"kind": "token", "principal": name})
        assert made.status_code == 201, made.text
        if role is not None:
            path = f"/v1/workspaces/{self.up.workspace}/roles/{name}"
            assert (await self.http.put(path, json={"role": role})).status_code < 300
        token: str = made.json()["secret"]
        return token


@pytest.fixture(name="door")
async def _door(tmp_path: Path) -> AsyncIterator[Door]:
    async with running(tmp_path) as up:
        services, runs = up.running.server.services, Runs()
        settings = replace(FlyteSettings(), max_upload_bytes=1 << 20)
        places, authenticator = Places(services, settings), Authenticator(services)
        registry = Registry(services, places)

        async def authenticate(context: Any) -> Caller:
            return await authenticator.of_metadata(context.invocation_metadata())

        def load() -> Any:
            return methods(services, settings, places, registry, KEY, runs.calls)

        async def describe(caller: Caller, run: Any) -> str:
            return await console_calls.of_execution(runs.calls, caller, run, WorkspaceId(up.workspace))

        server = grpc.aio.server(
            handlers=(RpcHandler(PREFIXES, load, authenticate),), options=(("grpc.max_receive_message_length", -1),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        app = FlyteHttp(services, settings, KEY, authenticator, describe)
        headers = {"authorization": f"Bearer {up.token}"}

        async def either(scope: Any, receive: Any, send: Any) -> None:
            own = scope["raw_path"].startswith((b"/flyte/", b"/console/"))
            await (app if own else up.running.server.app)(scope, receive, send)

        transport = httpx.ASGITransport(either)
        async with (
            httpx.AsyncClient(transport=transport, base_url=up.url, headers=headers) as http,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Door(up, channel, http, runs, settings)
        await server.stop(None)
