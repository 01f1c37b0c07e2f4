"""A server without its port: services, loop and API in the test's own event loop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from heliostat.api import create_app, streams
from heliostat.control.clock import SystemClock
from heliostat.control.leases import SoleServer
from heliostat.control.loop import ControlLoop
from heliostat.control.reconciler import Reconciler
from heliostat.domain.ids import JobId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.jobs import Job, LogFile
from heliostat.domain.records import Role
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.services import Caller, JobTools, Services
from heliostat.store import Store, StoreSettings, Transaction
from heliostat.testing.tools import job_tools

DEADLINE_SECONDS = 10.0


@dataclass
class House:
    """The app, with one admin and one workspace."""

    app: FastAPI
    services: Services
    world: World
    workspace: str
    token: str
    store: Store
    tools: JobTools
    _clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def clusters(self) -> str:
        return f"/v1/workspaces/{self.workspace}/clusters"

    @property
    def jobs(self) -> str:
        return f"/v1/workspaces/{self.workspace}/jobs"

    def client(self, token: str | None) -> httpx.AsyncClient:
        """A client that shows ``token`` and does not hide the server's exceptions."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self.app)
        self._clients.append(httpx.AsyncClient(transport=transport, base_url="http://heliostat", headers=headers))
        return self._clients[-1]

    @property
    def admin(self) -> httpx.AsyncClient:
        return self.client(self.token)

    async def principal(self, name: str, role: Role | None) -> httpx.AsyncClient:
        """A client of a new principal with this role in the workspace."""
        made = await self.admin.post("/v1/keys", json={"principal": name})
        assert made.status_code == 201, made.text
        if role is not None:
            granted = await self.admin.put(f"/v1/workspaces/{self.workspace}/roles/{name}", json={"role": role})
            assert granted.status_code == 204, granted.text
        return self.client(made.json()["secret"])

    async def create(self, name: str = "demo", **fields: Any) -> dict[str, Any]:  # JSON
        """A cluster made by the admin."""
        answer = await self.admin.post(self.clusters, json={"name": name, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def until(self, cluster: str, *states: str) -> dict[str, Any]:
        """The cluster once it is in one of the states."""

        def arrived(document: dict[str, Any]) -> bool:
            return document["state"] in states

        return await self.when(cluster, arrived)

    async def when(self, cluster: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                document: dict[str, Any] = (await self.admin.get(f"{self.clusters}/{cluster}")).json()
                if condition(document):
                    return document
                await asyncio.sleep(0.01)

    async def submit(self, entrypoint: str = "python main.py", **fields: Any) -> dict[str, Any]:  # JSON
        """A job of the admin's. Nothing works on it here: a test says what becomes of it with :meth:`becomes`."""
        answer = await self.admin.post(self.jobs, json={"entrypoint": entrypoint, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def becomes(self, job: str, **fields: Any) -> Job:
        """Record this of a job (``Any``: fields of Job), as its reconciler does."""

        def work(tx: Transaction) -> Job:
            before = tx.jobs.lock(JobId(job))
            assert before is not None
            tx.jobs.save(after := replace(before, **fields))
            return after

        return await self.store.write(work)

    async def writes(
        self, owner: str, name: str, data: bytes, *, complete: bool = False, quietly: bool = False
    ) -> None:
        """Store more of a log, as its collector does."""

        def known(tx: Transaction) -> LogFile:
            place = LogFile(owner, WorkspaceId(self.workspace), name, 0, 0, datetime.now(UTC))
            return tx.log_files.get(owner, name) or place

        file = await self.store.read(known)
        await self.tools.storage.append(file.key, file.size, data)
        size = file.size + len(data)
        after = replace(file, size=size, source_offset=size, modified_at=datetime.now(UTC), complete=complete)

        def work(tx: Transaction) -> None:
            assert tx.log_files.add(after) or tx.log_files.advance(after, file.source_offset)

        await self.store.write(work)
        if not quietly:
            self.tools.news.tell(owner)

    async def caller(self) -> Caller:
        return Caller(await self.services.identity.by_token(self.token))


@contextlib.asynccontextmanager
async def house(
    home: Path, world: World | None = None, installation: Installation | None = None
) -> AsyncIterator[House]:
    """A fresh one in ``home``."""
    world, clock, installation = world or World(), SystemClock(), installation or Installation()
    for file in (await _empty()).iterdir():
        shutil.copy(file, home / file.name)
    store = await Store.open(StoreSettings(url=f"sqlite:///{home / 'heliostat.db'}", master_key=home / "master.key"))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        engine = SimulatedEngine(world)
        await engine.open()
        stack.push_async_callback(engine.close)
        loop = ControlLoop(store, engine, Reconciler(store, engine, installation, clock), SoleServer())
        tools = job_tools(home)
        services = Services.build(store, installation, engine, clock, loop.wake, tools)
        made = await services.identity.first_start("ada")
        assert made is not None
        running = asyncio.create_task(loop.run())
        built = House(_app(services), services, world, made.workspace, made.token.reveal(), store, tools)
        try:
            yield built
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            for client in built._clients:
                await client.aclose()


def _app(services: Services) -> FastAPI:
    """An app with the routes of the first one: FastAPI works them out at their first use, which takes longest."""
    app = create_app(services, "1.2.3")
    if not _routes:
        _routes.extend(app.router.routes)
    app.router.routes[:] = _routes
    return app


_routes: list[BaseRoute] = []


async def _empty() -> Path:
    """A folder with a database that has its tables and nothing in them, and its key: made once, which takes longest."""
    if not _made:
        folder = Path(tempfile.mkdtemp(prefix="hsapi"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        store = await Store.open(
            StoreSettings(url=f"sqlite:///{folder / 'heliostat.db'}", master_key=folder / "master.key")
        )
        await store.close()
        _made.append(folder)
    return _made[0]


_made: list[Path] = []


class Looks:
    """Counts the looks of streams, of which there are many more than usual."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._rests = 0
        rest = streams.Pace.rest

        async def counted(pace: streams.Pace) -> None:
            self._rests += 1
            await rest(pace)

        monkeypatch.setattr(streams, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(streams.Pace, "rest", counted)

    async def another(self) -> None:
        """Until the one stream has seen what there is now: the look that goes on may be too old, the next one is not."""
        seen = self._rests + 2
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self._rests < seen:
                await asyncio.sleep(0.001)


def frames(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a finished event stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def package(house: House, files: dict[str, bytes]) -> str:
    """Upload a zip; its SHA-256."""
    data = zipped(files)
    sha256 = hashlib.sha256(data).hexdigest()
    answer = await house.admin.put(f"/v1/workspaces/{house.workspace}/packages/{sha256}", content=data)
    assert answer.status_code == 201, answer.text
    return sha256


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()
