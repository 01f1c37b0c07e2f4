"""The client object: credentials, workspace, and a door to each kind of resource.

Derived from ``aio/client.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
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
from .clusters import Clusters
from .directory import NetworkServices, Releases, Workspaces
from .jobs import Jobs
from .keys import Keys
from .packages import Packages
from .queues import Queues
from .secrets import Secrets
from .transport import Transport

T = TypeVar("T")


class Client:
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
        self._transport = Transport(found, timeout=timeout, retries=retries, agent="heliostat-python")
        self.clusters = Clusters(self)
        self.jobs = Jobs(self)
        self.packages = Packages(self)
        self.releases = Releases(self)
        self.workspaces = Workspaces(self)
        self.queues = Queues(self)
        self.secrets = Secrets(self)
        self.network_services = NetworkServices(self)
        self.keys = Keys(self)

    @property
    def endpoint(self) -> str:
        return self.credentials.endpoint

    def workspace(self) -> str:
        """Id of the workspace that calls are about. Raises InvalidRequest when there are several and none is named."""
        if self._workspace is None:
            mine = (self.me()).workspaces
            if len(mine) != 1:
                names = ", ".join(f"{row.id} ({row.name})" for row in mine) or "none"
                raise InvalidRequest(
                    f"name one, for example with HELIOSTAT_WORKSPACE; yours are: {names}", path="workspace"
                )
            self._workspace = mine[0].id
        return self._workspace

    def me(self) -> Me:
        """Who the token belongs to, with the workspaces and the roles in them."""
        return decode(Me, self.send(protocol.get("/v1/me")))

    def version(self) -> ServerVersion:
        return decode(ServerVersion, self.send(protocol.get("/v1/version")))

    def usage(
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
            self.in_workspace("/usage"),
            since=since and since.isoformat(),
            until=until and until.isoformat(),
            by=list(by),
            queue=queue,
            cluster=cluster,
        )
        return decode(UsageReport, self.send(request))

    def send(self, request: Request) -> Any:
        """Any request of the native API, for what this SDK does not know. Returns the answer's JSON."""
        return self._transport.send(request)

    def stream(self, request: Request, *, silence: float = 30.0) -> Generator[ServerEvent, None, None]:
        """Server-sent events of a request. Close it (``contextlib.closing``) when you leave it before its end."""
        return self._transport.stream(request, silence=silence)

    def pieces(self, request: Request, *, silence: float = 60.0) -> Generator[bytes, None, None]:
        """The bytes of an answer that is no JSON, as they come."""
        return self._transport.pieces(request, silence=silence)

    def upload(self, path: str, file: Path, size: int) -> Any:
        """PUT a file; returns the answer's JSON."""
        return self._transport.upload(path, file, size)

    def work(self, function: Callable[..., T], *args: Any) -> T:
        """The result of what takes a while on this machine."""
        return function(*args)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def in_workspace(self, path: str) -> str:
        """The full path of a resource of the workspace."""
        return f"/v1/workspaces/{protocol.segment(self.workspace())}{path}"

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
