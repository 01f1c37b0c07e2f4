"""A whole server on the simulated engine, and clients of its two transports that are nothing but HTTP and gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from heliostat.dialects.vertex.wire import Messages, Version
from heliostat.domain.ids import ClusterId
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.testing.harness import HarnessServer, running

Json = dict[str, Any]
IMAGE = "us-docker.pkg.dev/vertex-ai/training/ray-cpu.2-47.py311:latest"
WAITER = (
    "model-builder/2.7.0+vertex_ray+google.cloud.aiplatform.vertex_ray.cluster_init.create_ray_cluster gl-python/3.11"
)
NEVER = 1e6
PATIENCE = 20.0


def body(workers: int = 1, **more: Any) -> Json:
    """What the vendor's client sends for a head and some workers."""
    pools = [{"id": "head-node", "machineSpec": {"machineType": "custom-1-2048"}, "replicaCount": "1"}]
    if workers:
        spec = {"machineType": "custom-2-2048"}
        pools.append({"id": "worker-pool1", "machineSpec": spec, "replicaCount": str(workers)})
    images = {pool["id"]: IMAGE for pool in pools}
    return {
        "resourcePools": pools,
        "resourceRuntimeSpec": {"raySpec": {"resourcePoolImages": images, "rayMetricSpec": {}, "rayLogsSpec": {}}},
        **more,
    }


@dataclass
class Door:
    """A server, and how to call it."""

    up: HarnessServer
    world: World
    engine: SimulatedEngine
    http: httpx.AsyncClient
    project: str
    """The number."""
    channel: Any = None  # grpc ships no types
    codecs: dict[Version, Messages] = field(
        default_factory=lambda: {"v1": Messages("v1"), "v1beta1": Messages("v1beta1")}
    )

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/us-central1"

    def name(self, id: str) -> str:
        return f"{self.parent}/persistentResources/{id}"

    async def rest(self, method: str, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return await self.http.request(method, path, json=json, **options)

    async def create(self, id: str, version: str = "v1beta1", **more: Any) -> Json:
        """Over REST; the operation."""
        path = f"/{version}/{self.parent}/persistentResources"
        answer = await self.rest("POST", path, body(**more), params={"persistentResourceId": id})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def get(self, id: str, version: str = "v1beta1") -> Json:
        answer = await self.rest("GET", f"/{version}/{self.name(id)}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until(self, id: str, state: str) -> Json:
        """The resource, once it is in this state."""
        return await self.eventually(lambda: self.get(id), lambda seen: seen.get("state") == state)

    async def eventually(self, look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        end = time.monotonic() + PATIENCE
        while not good(seen := await look()):
            assert time.monotonic() < end, seen
            await asyncio.sleep(0.02)
        return seen

    async def running(self, id: str, **more: Any) -> Json:
        """A resource that runs."""
        await self.create(id, **more)
        return await self.until(id, "RUNNING")

    def come_up(self) -> None:
        """Everything that is being started is up now."""
        for instance in list(self.world.instances):
            self.engine._come_alive(instance)

    async def cluster_id(self, id: str) -> ClusterId:
        rows = (await self.http.get(f"/v1/workspaces/{self.up.workspace}/clusters")).json()["clusters"]
        return ClusterId(next(row["id"] for row in rows if row["name"] == id))

    async def call(
        self,
        method: str,
        request: Json,
        *,
        version: Version = "v1beta1",
        service: str = "PersistentResourceService",
        token: str | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        seconds: float | None = PATIENCE,
    ) -> Json:
        """Over gRPC. Raises grpc.aio.AioRpcError."""
        asked, answered = MESSAGES[method]
        full = f"google.cloud.aiplatform.{version}.{service}" if service == "PersistentResourceService" else service
        codec = self.codecs[version]
        call = self.channel.unary_unary(f"/{full}/{method}")
        own = (("authorization", f"Bearer {self.up.token if token is None else token}"), *metadata)
        return codec.decode(answered, await call(codec.encode(asked, request), metadata=own, timeout=seconds))


OPERATIONS = "google.longrunning.Operations"
PROJECTS = "google.cloud.resourcemanager.v3.Projects"
MESSAGES = {
    **{f"{verb}PersistentResource": (f"{verb}PersistentResourceRequest", "Operation") for verb in ("Create", "Update")},
    **{f"{verb}PersistentResource": (f"{verb}PersistentResourceRequest", "Operation") for verb in ("Delete", "Reboot")},
    "GetPersistentResource": ("GetPersistentResourceRequest", "PersistentResource"),
    "ListPersistentResources": ("ListPersistentResourcesRequest", "ListPersistentResourcesResponse"),
    **{f"{verb}Operation": (f"{verb}OperationRequest", "Operation") for verb in ("Get", "Wait")},
    **{f"{verb}Operation": (f"{verb}OperationRequest", "Empty") for verb in ("Cancel", "Delete")},
    "ListOperations": ("ListOperationsRequest", "ListOperationsResponse"),
    "GetProject": ("GetProjectRequest", "Project"),
}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def door(tmp_path: Path, world: World) -> AsyncIterator[Door]:
    engine = SimulatedEngine(world)
    async with running(tmp_path, world=world, engine=engine, tls_port=-1) as up:
        headers = {"authorization": f"Bearer {up.token}"}
        async with httpx.AsyncClient(base_url=up.url, headers=headers, timeout=PATIENCE) as http:
            project = (await http.get("/v3/projects/default")).json()["name"].removeprefix("projects/")
            async with grpc.aio.insecure_channel(up.url.removeprefix("http://")) as channel:
                yield Door(up, world, engine, http, project, channel)


@pytest.fixture
async def slow(world: World, door: Door) -> Door:
    """A door to a world where nothing gets up by itself (see :meth:`Door.come_up`)."""
    world.start_seconds = NEVER
    return door
