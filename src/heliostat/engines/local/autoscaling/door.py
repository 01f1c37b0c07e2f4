"""Where the providers of all instances knock: HTTP on a Unix socket that only this user can reach.

::

    POST /instances/<id>/round       a report, or null         -> {"nodes": [...]}, everything that is not gone
    POST /instances/<id>/create      {request, group, count}   -> {}, idempotent by request
    POST /instances/<id>/terminate   {nodes}                   -> {}

Each instance has a secret of its own that is good for nothing else. Whoever runs code on a head can read it, and can so
make and end nodes of that one instance, which that code may do anyhow. A refusal is a sentence, for Ray's log. The socket
has the same path in every run of the server; heads go on asking while there is none.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from weakref import WeakKeyDictionary

import structlog
from aiohttp import web
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from heliostat.domain.engine import InstancePlan
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import InstanceId

from ..clock import Clock
from ..layout import Layout
from . import reports
from .base import ScalerNode, ScalerTarget, TooMany
from .config import read_secret

MOST_NODES = 10_000
"""In one request; more than any machine can have."""

BODY_BYTES = 4 << 20
WATCH_SECONDS = 60.0
"""How often it is seen to that the socket is still there; cleaners of /tmp take what looks old."""

Name = Annotated[str, Field(min_length=1, max_length=200)]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Served:
    """An instance that an autoscaler may ask for."""

    target: ScalerTarget
    plan: InstancePlan


@checked(frozen=True)
class Creation:
    request: Name
    group: Name
    count: Annotated[int, Field(ge=1, le=MOST_NODES)]


@checked(frozen=True)
class Termination:
    nodes: Annotated[tuple[str, ...], Field(max_length=MOST_NODES)]


CREATION = TypeAdapter(Creation)
TERMINATION = TypeAdapter(Termination)
REPORT: TypeAdapter[reports.Report | None] = TypeAdapter(reports.Report | None)

Answer = Callable[[Served, bytes], dict[str, object]]


class Door:
    """Opened and used in the engine's event loop. ``find`` gives the instances that are in the engine's care."""

    def __init__(self, layout: Layout, clock: Clock, find: Callable[[InstanceId], Served | None]) -> None:
        self._layout = layout
        self._clock = clock
        self._find = find
        self._runner: web.AppRunner | None = None
        self._site: web.UnixSite | None = None
        self._watch: asyncio.Task[None] | None = None
        self._last: WeakKeyDictionary[ScalerTarget, list[ScalerNode]] = WeakKeyDictionary()
        """What each autoscaler was told in its last round, which is what its report is about."""
        self._causes: WeakKeyDictionary[ScalerTarget, str] = WeakKeyDictionary()
        """What was logged of each last: an autoscaler asks again every second."""

    async def open(self) -> None:
        """Begin to answer. Raises OSError when the socket cannot be had."""
        application = web.Application(client_max_size=BODY_BYTES)
        for question, answer in (("round", self._round), ("create", self._create), ("terminate", self._terminate)):
            application.router.add_post(f"/instances/{{instance}}/{question}", self._guarded(answer))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await self._listen()
        self._watch = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Stop answering; the path is free again."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
            self._layout.door.unlink(missing_ok=True)

    async def _listen(self) -> None:
        if self._runner is None:
            raise RuntimeError("the door is not open")
        path = self._layout.door
        self._layout.ensure_short_folder()
        path.unlink(missing_ok=True)  # of a server that was killed: the lock on the state says that there is no other
        self._site = web.UnixSite(self._runner, path)
        await self._site.start()
        path.chmod(0o600)

    async def _keep(self) -> None:
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            try:
                os.utime(self._layout.door)
            except FileNotFoundError:
                log.warning("autoscaling door was removed", path=str(self._layout.door))
                try:
                    site, self._site = self._site, None
                    if site is not None:
                        await site.stop()
                    await self._listen()
                except (OSError, HeliostatError) as error:
                    log.warning("autoscaling door cannot be opened", cause=str(error))
            except OSError as error:
                log.warning("autoscaling door cannot be looked at", cause=str(error))

    def _guarded(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        """With the secret checked, and what cannot be answered told in words."""

        async def handle(request: web.Request) -> web.Response:
            instance = InstanceId(request.match_info["instance"])
            served = self._find(instance)
            secret = read_secret(self._layout, instance) if served is not None else ""
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(secret.encode(), given.encode(errors="surrogateescape")) or not secret:
                return web.Response(status=401, text="this is not the secret of that instance")
            if served is None:
                return web.Response(status=404, text="there is no such instance")
            try:
                return web.json_response(answer(served, await request.read()))
            except ValidationError as error:
                return web.Response(status=400, text=_sentence(error))
            except (HeliostatError, OSError) as error:
                if self._is_news(served, f"{type(error).__name__}: {error}"):
                    log.warning("autoscaler cannot be answered", instance=instance, cause=str(error))
                return web.Response(status=503, text=str(error))

        return handle

    def _is_news(self, served: Served, cause: str) -> bool:
        before = self._causes.get(served.target)
        self._causes[served.target] = cause
        return cause != before

    def _round(self, served: Served, body: bytes) -> dict[str, object]:
        nodes = served.target.scaler_nodes()
        try:
            report = REPORT.validate_json(body)
        except ValidationError as error:  # of no use, but no reason to keep Ray from scaling
            if self._is_news(served, _sentence(error)):
                log.warning(
                    "autoscaler's report is not understood", instance=served.plan.instance, cause=_sentence(error)
                )
            report = None
        if report is not None:
            now = self._clock.now().timestamp()
            before = self._last.get(served.target)
            served.target.report(reports.demand(report, served.plan, before, now), reports.idle(report))
        self._last[served.target] = nodes
        return {"nodes": [dataclasses.asdict(node) for node in nodes]}

    def _create(self, served: Served, body: bytes) -> dict[str, object]:
        wanted = CREATION.validate_json(body)
        try:
            served.target.scale_up(wanted.request, wanted.group, wanted.count)
        except KeyError:
            raise web.HTTPConflict(text=f"the cluster has no group {wanted.group!r} any more") from None
        except TooMany as refusal:
            raise web.HTTPConflict(text=str(refusal)) from None
        return {}

    def _terminate(self, served: Served, body: bytes) -> dict[str, object]:
        served.target.scale_down(TERMINATION.validate_json(body).nodes)
        return {}


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the request'}: {first['msg']}"
