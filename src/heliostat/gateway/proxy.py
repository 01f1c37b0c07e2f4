"""The ASGI application: carries what was allowed between clients and heads, with aiohttp, and keeps the audit record."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
import structlog
from yarl import URL

from heliostat.grpc_door import PeerOf
from heliostat.services.access import Access

from . import websocket
from .decide import (
    Allow,
    Answer,
    Reading,
    broken,
    decide,
    head_failed,
    head_refused,
    nobody,
    read,
    session_cookie,
    upload_stalled,
)
from .exposure import Need
from .headers import to_client, to_head
from .reply import Reply, request_of
from .request import GatewayRequest
from .settings import GatewaySettings
from .streams import CLIENT_GONE, Gatekeeper, OpenStreams, Stream, StreamEnded, TrafficNotes
from .upload import Receive, Scope, Send, Upload

if TYPE_CHECKING:
    from .ray_client.proxy import RayClientProxy

log = structlog.get_logger()
KEEP_ALIVE = 30.0
"""Seconds an idle connection to a head is kept: less than Ray keeps its side, so that a request never meets a closing one."""
_NO_AUTOMATIC_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class HeadFailed(Exception):
    """The head cannot be reached, or what it answers cannot be passed on."""

    def __init__(self, cause: str, *, late: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.late = late


class Gateway:
    """An ASGI 3 application for HTTP and websockets; ``await aclose()`` ends its streams and connections."""

    def __init__(self, access: Gatekeeper, settings: GatewaySettings, traffic: TrafficNotes | None = None) -> None:
        self._gatekeeper = access
        self._settings = settings
        self._streams = OpenStreams(access, settings.recheck_every, traffic)
        self._session: aiohttp.ClientSession | None = None

    def ray_client(self, peer_of: PeerOf) -> RayClientProxy:
        """The gRPC handler for ``ray://``, which is no business of an ASGI application. Imports gRPC."""
        from .ray_client.proxy import RayClientProxy

        return RayClientProxy(self._gatekeeper, self._streams, self._settings, peer_of)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request = request_of(scope)
        reply = Reply(scope, send)
        try:
            await self._serve(request, scope, receive, reply)
        except Exception:  # the boundary: whatever went wrong inside becomes a 500 that tells nothing
            log.exception("gateway failed", method=request.method)
            if not reply.started:
                await reply.answer(broken(request, self._settings))

    async def aclose(self) -> None:
        """End open streams and the connections to heads."""
        await self._streams.close()
        if self._session is not None:
            await self._session.close()

    async def _serve(self, request: GatewayRequest, scope: Scope, receive: Receive, reply: Reply) -> None:
        reading = read(request, self._settings)
        if isinstance(reading, Answer):
            await reply.answer(reading)
            return
        token = reading.credential.token if reading.credential else None
        access = await self._gatekeeper.resolve(token.reveal(), reading.place.cluster) if token else None
        decision = decide(reading, access, self._settings)
        _audit(reading, access, decision)
        if isinstance(decision, Answer):
            await self._answer(decision, request, reply)
            return
        try:
            with self._streams.open(decision, reading.place.cluster) as stream:
                await self._carry(reading, decision, stream, scope, receive, reply)
        except StreamEnded as ended:
            log.info("gateway stream ended", reason=ended.reason, cluster=decision.cluster)
            if ended.reason != CLIENT_GONE:
                await reply.end(ended.reason, nobody(reading, self._settings))

    async def _answer(self, answer: Answer, request: GatewayRequest, reply: Reply) -> None:
        if answer.session is None:
            await reply.answer(answer)
        else:
            session = self._gatekeeper.session(answer.session)
            await reply.answer(answer, [session_cookie(session, request, self._settings)])

    async def _carry(
        self, reading: Reading, allow: Allow, stream: Stream, scope: Scope, receive: Receive, reply: Reply
    ) -> None:
        request, form = reading.request, reading.place.form
        upload = Upload(receive, empty=_bodiless(request), patience=self._settings.upload_timeout)
        try:
            if request.websocket:
                await self._carry_websocket(allow, request, scope["subprotocols"], receive, reply)
            else:
                await self._carry_http(reading, allow, upload, stream, reply)
        except websocket.Refused as refused:
            await reply.answer(head_refused(request, form, allow.cluster, self._settings, refused.status))
        except HeadFailed as failure:
            if upload.gone:
                return
            if upload.stalled and not reply.started:
                await reply.answer(upload_stalled(request, form, self._settings))
                return
            log.warning("head failed", cluster=allow.cluster, instance=allow.instance, cause=failure.cause)
            if not reply.started:
                await reply.answer(head_failed(request, form, allow.cluster, self._settings, late=failure.late))

    async def _carry_http(self, reading: Reading, allow: Allow, upload: Upload, stream: Stream, reply: Reply) -> None:
        """One request and its answer, both as streams. Raises HeadFailed, also after the answer has begun."""
        watcher = asyncio.create_task(upload.wait_until_gone())
        watcher.add_done_callback(lambda done: None if done.cancelled() else stream.end(CLIENT_GONE))
        try:
            async with self._client().request(
                reading.request.method,
                _url(allow),
                headers=to_head(reading.request.headers, allow.set_headers),
                data=None if upload.empty else upload.pieces(),
                allow_redirects=False,
            ) as head:
                _accept(head)
                headers = to_client(head.raw_headers, reading.place.form, self._settings)
                await reply.send({"type": "http.response.start", "status": head.status, "headers": headers})
                async for piece in head.content.iter_any():
                    await reply.send({"type": "http.response.body", "body": piece, "more_body": True})
                await reply.send({"type": "http.response.body", "body": b""})
        except TimeoutError as error:
            raise HeadFailed(
                type(error).__name__, late=not isinstance(error, aiohttp.ConnectionTimeoutError)
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise HeadFailed(type(error).__name__) from error
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def _carry_websocket(
        self, allow: Allow, request: GatewayRequest, subprotocols: list[str], receive: Receive, reply: Reply
    ) -> None:
        """Raises HeadFailed, websocket.Refused."""
        await receive()  # websocket.connect
        headers = to_head(request.headers, allow.set_headers)
        try:
            head = await websocket.connect(self._client(), _url(allow), headers, subprotocols, self._settings)
        except (aiohttp.ClientError, OSError) as error:
            raise HeadFailed(type(error).__name__) from error
        try:
            with contextlib.suppress(OSError):  # by which uvicorn says that the client went while it was sent a message
                await websocket.relay(head, receive, reply.send)
        finally:
            await websocket.close(head)

    def _client(self) -> aiohttp.ClientSession:
        """The connections to all heads: made inside the running loop, at first use. Raises HeadFailed after aclose()."""
        if self._session is not None and self._session.closed:
            raise HeadFailed("the gateway is closed")
        if self._session is None:
            settings = self._settings
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, limit_per_host=settings.connections_per_head, keepalive_timeout=KEEP_ALIVE
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_NO_AUTOMATIC_HEADERS,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=settings.connect_timeout.total_seconds(),
                    sock_read=settings.idle_timeout.total_seconds(),
                ),
                max_line_size=settings.max_answer_header,
                max_field_size=settings.max_answer_header,
            )
        return self._session

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """For a server of our own; on the common port the server calls :meth:`aclose`."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return
            await send({"type": "lifespan.startup.complete"})


def create_app(access: Gatekeeper, settings: GatewaySettings, traffic: TrafficNotes | None = None) -> Gateway:
    """The gateway as an ASGI application, for the common port or for a server of its own."""
    return Gateway(access, settings, traffic)


def _url(allow: Allow) -> URL:
    query = f"?{allow.query}" if allow.query else ""
    return URL(f"http://{allow.upstream}{allow.path}{query}", encoded=True)


def _accept(head: aiohttp.ClientResponse) -> None:
    """Raises HeadFailed for answers that are not passed on.

    A redirect would make an SDK send its token to wherever a head says. A 401 is about Ray's own token, which users do not
    have: theirs was good.
    """
    if head.status < 200:
        raise HeadFailed("it changes the protocol unasked")
    if 300 <= head.status < 400 and head.status != 304:
        raise HeadFailed("it redirects")
    if head.status == 401:
        raise HeadFailed("it refuses the gateway's token")


def _bodiless(request: GatewayRequest) -> bool:
    length = request.value("content-length")
    return not request.values("transfer-encoding") and length in ("", "0")


def _audit(reading: Reading, access: Access | None, decision: Allow | Answer) -> None:
    """One record for each request that would run, change or attach to code, and for each that lacked a role."""
    refused = isinstance(decision, Answer) and decision.reason == "forbidden"
    if reading.rule.need is not Need.RUN and not refused:
        return
    log.info(
        "gateway access",
        who=access.subject if access else "",
        cluster=access.cluster if access else reading.place.cluster,
        method=reading.request.method,
        what=reading.rule.name,
        decision=decision.reason if isinstance(decision, Answer) else "allowed",
        client=reading.request.client,
    )
