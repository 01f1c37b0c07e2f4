"""The client object: credentials, workspace, and a door to each kind of resource."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from .. import credentials as finding
from .. import protocol
from ..decode import decode
from ..errors import InvalidRequest
from ..models import Me, ServerVersion, UsageReport
from ..protocol import Request, ServerEvent
from .clusters import AsyncClusters
from .directory import AsyncNetworkServices, AsyncReleases, AsyncWorkspaces
from .jobs import AsyncJobs
from .keys import AsyncKeys
from .packages import AsyncPackages
from .queues import AsyncQueues
from .secrets import AsyncSecrets
from .transport import AsyncTransport

T = TypeVar("T")


class AsyncClient:
    """A connection to one Heliostat server.

    Endpoint, token and workspace are looked for as :mod:`heliostat.client.credentials` says; raises NoCredentials. A
    workspace that nobody names is the only one that you have a role in. ``timeout`` is seconds per request; ``retries``
    is how often a call that may be repeated is tried again. Use it as a context manager, or close it.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        workspace: str | None = None,
        *,
        profile: str | None = None,
        home: str | Path | None = None,
        ca: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
    ) -> None:
        found = finding.find(endpoint, token, workspace, profile=profile, home=home)
        if ca is not None:
            found = finding.Credentials(found.endpoint, found.token, found.workspace, ca, found.source)
        self.credentials = found
        self._workspace = found.workspace
        self._transport = AsyncTransport(found, timeout=timeout, retries=retries, agent="heliostat-python")
        self.clusters = AsyncClusters(self)
        self.jobs = AsyncJobs(self)
        self.packages = AsyncPackages(self)
        self.releases = AsyncReleases(self)
        self.workspaces = AsyncWorkspaces(self)
        self.queues = AsyncQueues(self)
        self.secrets = AsyncSecrets(self)
        self.network_services = AsyncNetworkServices(self)
        self.keys = AsyncKeys(self)

    @property
    def endpoint(self) -> str:
        return self.credentials.endpoint

    async def workspace(self) -> str:
        """Id of the workspace that calls are about. Raises InvalidRequest when there are several and none is named."""
        if self._workspace is None:
            mine = (await self.me()).workspaces
            if len(mine) != 1:
                names = ", ".join(f"{row.id} ({row.name})" for row in mine) or "none"
                raise InvalidRequest(
                    f"name one, for example with HELIOSTAT_WORKSPACE; yours are: {names}", path="workspace"
                )
            self._workspace = mine[0].id
        return self._workspace

    async def me(self) -> Me:
        """Who the token belongs to, with the workspaces and the roles in them."""
        return decode(Me, await self.send(protocol.get("/v1/me")))

    async def version(self) -> ServerVersion:
        return decode(ServerVersion, await self.send(protocol.get("/v1/version")))

    async def usage(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: Sequence[str] = (),
        queue: str | None = None,
        cluster: str | None = None,
    ) -> UsageReport:
        """What was used of the workspace's queues: CPU, memory and GPU hours, split into starting, useful and idle.

        The last 7 days unless told otherwise; times need a time zone. ``by`` is any of ``queue``, ``cluster``,
        ``principal`` and ``hour``: a row for each. ``queue`` and ``cluster`` (id, or name of one that is there) narrow it.
        """
        request = protocol.get(
            await self.in_workspace("/usage"),
            since=since and since.isoformat(),
            until=until and until.isoformat(),
            by=list(by),
            queue=queue,
            cluster=cluster,
        )
        return decode(UsageReport, await self.send(request))

    async def send(self, request: Request) -> Any:
        """Any request of the native API, for what this SDK does not know. Returns the answer's JSON."""
        return await self._transport.send(request)

    def stream(self, request: Request, *, silence: float = 30.0) -> AsyncGenerator[ServerEvent, None]:
        """Server-sent events of a request. Close it (``contextlib.aclosing``) when you leave it before its end."""
        return self._transport.stream(request, silence=silence)

    def pieces(self, request: Request, *, silence: float = 60.0) -> AsyncGenerator[bytes, None]:
        """The bytes of an answer that is no JSON, as they come."""
        return self._transport.pieces(request, silence=silence)

    async def upload(self, path: str, file: Path, size: int) -> Any:
        """PUT a file; returns the answer's JSON."""
        return await self._transport.upload(path, file, size)

    async def work(self, function: Callable[..., T], *args: Any) -> T:
        """The result of what takes a while on this machine."""
        return await asyncio.to_thread(function, *args)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def in_workspace(self, path: str) -> str:
        """The full path of a resource of the workspace."""
        return f"/v1/workspaces/{protocol.segment(await self.workspace())}{path}"

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
