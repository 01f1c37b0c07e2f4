"""Websockets between a client and a head: the log of a job, followed.

The head is asked first, so that its refusal (no such job) reaches the client as the HTTP answer that Ray's SDK expects.
Messages go both ways with the pressure of the slower side; the code that one side closes with reaches the other, and
nothing that was sent before a close is lost.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
from yarl import URL

from .settings import GatewaySettings
from .upload import Receive, Send

HEARTBEAT = 30.0
"""Seconds between pings to a head, which tell a dead one from a silent one."""
CLOSE_TIMEOUT = 1.0
"""Seconds that a head has to answer a close; then its connection is dropped."""
GOING = 1001
_INTERNAL = 1011
_FRAME_CODES = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
"""Close codes that may stand in a frame; 1005 (none given) and 1006 (broken) may not."""


class Refused(Exception):
    """The head refused the websocket, with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def connect(
    session: aiohttp.ClientSession,
    url: URL,
    headers: list[tuple[str, str]],
    subprotocols: list[str],
    settings: GatewaySettings,
) -> aiohttp.ClientWebSocketResponse:
    """Open the head's side. Raises Refused, aiohttp.ClientError, TimeoutError."""
    try:
        return await session.ws_connect(
            url,
            headers=headers,
            protocols=subprotocols,
            heartbeat=HEARTBEAT,
            max_msg_size=settings.max_message,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
        )
    except aiohttp.WSServerHandshakeError as error:
        raise Refused(error.status) from error


async def relay(head: aiohttp.ClientWebSocketResponse, receive: Receive, send: Send) -> None:
    """Carry messages until one side closes, then close the other side likewise."""
    await send({"type": "websocket.accept", "subprotocol": head.protocol})
    down = asyncio.create_task(_to_client(head, send))
    up = asyncio.create_task(_to_head(head, receive))
    try:
        await asyncio.wait({down, up}, return_when=asyncio.FIRST_COMPLETED)
        if not down.done():
            await close(head, _sendable(up.result()))
        code, reason = await down
        if not up.done():
            await send({"type": "websocket.close", "code": code, "reason": reason})
    finally:
        for task in (down, up):
            task.cancel()
        await asyncio.gather(down, up, return_exceptions=True)


async def close(head: aiohttp.ClientWebSocketResponse, code: int = GOING) -> None:
    """Close the head's side, if it is open. One that goes on talking (as Ray does, which does not listen) is cut off."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await head.close(code=code)


async def _to_client(head: aiohttp.ClientWebSocketResponse, send: Send) -> tuple[int, str]:
    """Returns the code and reason to close the client's side with."""
    while True:
        message = await head.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            await send({"type": "websocket.send", "text": message.data})
        elif message.type is aiohttp.WSMsgType.BINARY:
            await send({"type": "websocket.send", "bytes": message.data})
        elif message.type is aiohttp.WSMsgType.CLOSE:
            return _sendable(message.data), message.extra or ""
        else:
            return _INTERNAL, "the connection to the cluster broke"


async def _to_head(head: aiohttp.ClientWebSocketResponse, receive: Receive) -> int:
    """Returns the code that the client closed with."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or 1005)
        text = message.get("text")
        try:
            await (head.send_bytes(message["bytes"]) if text is None else head.send_str(text))
        except ConnectionError:
            # The head has closed: what it closed with is in the other direction.
            await asyncio.Event().wait()


def _sendable(code: int | None) -> int:
    if not code or code == 1005:
        return 1000
    return code if code in _FRAME_CODES else _INTERNAL
