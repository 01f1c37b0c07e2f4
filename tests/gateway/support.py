"""Clusters and people for the gateway's tests, without a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from heliostat.domain.engine import Endpoints
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId
from heliostat.domain.passes import Purpose
from heliostat.domain.records import Instance, Role
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec, NodeShape
from heliostat.domain.states import State
from heliostat.gateway import Gateway, GatewaySettings
from heliostat.gateway.decide import Allow, Answer, Reading, decide, read
from heliostat.gateway.request import GatewayRequest
from heliostat.services.access import Access, Route

CLUSTER = ClusterId("ray-aaaaaaaaaaaaaaaa")
OTHER = ClusterId("ray-bbbbbbbbbbbbbbbb")
WORKSPACE = WorkspaceId("w-0123456789abcdef")
SUBMIT = "0123456789abcdef0123456789abcdef"
API_TOKEN = "hlt_" + "u" * 43
LINK = "hlp_link.signature"
SESSION = "hlp_session.signature"
RAY_TOKEN = "ray-secret-token"
DOMAIN = "localhost:8600"
HOST = f"c-{CLUSTER}.{DOMAIN}"
ORIGIN = f"http://{HOST}"
SETTINGS = GatewaySettings(domain=DOMAIN)
ROOT = "127.0.0.1:8600"
COOKIE = f"__Host-heliostat={SESSION}"
PAGE = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document", "accept": "text/html,*/*;q=0.8"}
"""Headers of a browser that shows a page, as :func:`request` takes them."""


def access_to(
    cluster: ClusterId = CLUSTER,
    role: Role = Role.EDITOR,
    *,
    state: State = State.RUNNING,
    upstream: str = "127.0.0.1:8265",
    purpose: Purpose | None = None,
    ray: str = "2.60.0",
    subject: str = "ada",
    run: str = "00000001",
) -> Access:
    """What a good token opens."""
    spec = ClusterSpec("demo", f"ray-1.3.1 (Ray {ray}, Python 3.11)", NodeShape("root_queue", Decimal(1), 2**30))
    up = state is State.RUNNING
    instance = Instance(
        InstanceId(f"{cluster}-{run}"),
        cluster,
        WORKSPACE,
        spec,
        1,
        datetime(2026, 1, 1, tzinfo=UTC),
        Secret(SUBMIT),
        Secret(RAY_TOKEN),
        endpoints=Endpoints(upstream) if up else None,
    )
    route = Route(cluster, WORKSPACE, instance.id, upstream, instance.ray_token) if up else None
    present = None if state is State.STOPPED else instance
    return Access(subject, role, cluster, WORKSPACE, state, present, route, purpose)


class FakeGatekeeper:
    """Stands in for AccessService: tokens are rows of a dictionary, which tests change as they go."""

    def __init__(self, **rows: Access) -> None:
        self.rows: dict[str, Access] = dict(rows)
        self.asked: list[tuple[str, ClusterId | None]] = []

    async def resolve(self, token: str, cluster: ClusterId | None) -> Access | None:
        self.asked.append((token, cluster))
        text, _, named = token.partition("~")
        access = self.rows.get(text)
        if access is None or (cluster or named or access.cluster) != access.cluster:
            return None
        return access

    def session(self, access: Access) -> str:
        return SESSION


def request(
    target: str = "/",
    method: str = "GET",
    *,
    host: str = HOST,
    websocket: bool = False,
    **headers: str,
) -> GatewayRequest:
    """A request; header names with ``_`` for ``-``."""
    path, _, query = target.partition("?")
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return GatewayRequest(method, path.encode(), query, (("host", host), *named), websocket, "192.0.2.1")


def decided(asked: GatewayRequest, access: Access | None, settings: GatewaySettings = SETTINGS) -> Allow | Answer:
    reading = read(asked, settings)
    return decide(reading, access, settings) if isinstance(reading, Reading) else reading


def answer(asked: GatewayRequest, access: Access | None, settings: GatewaySettings = SETTINGS) -> Answer:
    decision = decided(asked, access, settings)
    assert isinstance(decision, Answer)
    return decision


def header(given: Answer, name: str) -> str | None:
    return dict(given.headers).get(name)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Head:
    """Stands for a head: remembers what it was asked, and answers as the test wants."""

    def __init__(self) -> None:
        self.address = ""
        self.seen: list[web.Request] = []
        self.answer: Handler = self._hello

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return await self.answer(request)

    @staticmethod
    async def _hello(request: web.Request) -> web.StreamResponse:
        return web.json_response({"path": request.path_qs, "method": request.method})


@dataclass(frozen=True)
class Front:
    """A client of the gateway."""

    session: aiohttp.ClientSession
    port: int
    gateway: Gateway

    def url(self, target: str) -> URL:
        return URL(f"http://127.0.0.1:{self.port}{target}", encoded=True)

    def ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Any:  # aiohttp's own context manager
        named = {"Host": HOST, "ray-token": SUBMIT} if headers is None else {"Host": HOST, **headers}
        return self.session.request(method, self.url(target), headers=named, allow_redirects=False, **options)

    def connect(self, target: str, headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        named = {"Host": HOST, "ray-token": SUBMIT} if headers is None else {"Host": HOST, **headers}
        return self.session.ws_connect(self.url(target), headers=named, **options)


async def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
