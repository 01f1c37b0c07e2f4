"""Both ends of an ASGI call: the request taken from its scope, and what goes back."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from .decide import Answer
from .request import GatewayRequest
from .upload import Message, Scope, Send

_POLICY = 1008


def request_of(scope: Scope) -> GatewayRequest:
    """The request that an ASGI scope describes."""
    client = scope.get("client")
    raw_path = scope.get("raw_path") or quote(scope["path"], safe="/%").encode()
    return GatewayRequest(
        method=scope.get("method", "GET"),
        raw_path=raw_path,
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]),
        websocket=scope["type"] == "websocket",
        secure=scope.get("scheme") in ("https", "wss"),
        client=client[0] if client else "",
    )


class Reply:
    """What goes back to the client, over HTTP or before and on a websocket."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._websocket = scope["type"] == "websocket"
        self._can_refuse_in_words = "websocket.http.response" in (scope.get("extensions") or {})
        self.started = False
        """Whether anything was sent, so that no other answer is possible."""

    async def send(self, message: Message) -> None:
        self.started = True
        await self._send(message)

    async def answer(self, answer: Answer, more: Sequence[tuple[str, str]] = ()) -> None:
        """Send an answer of our own, with ``more`` headers."""
        if self._websocket and not self._can_refuse_in_words:
            await self.send({"type": "websocket.close", "code": _POLICY, "reason": answer.reason})
            return
        kind = "websocket.http.response" if self._websocket else "http.response"
        length = ("content-length", str(len(answer.body)))
        headers = [(name.encode(), value.encode()) for name, value in (*answer.headers, *more, length)]
        await self.send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
        await self.send({"type": f"{kind}.body", "body": answer.body})

    async def end(self, reason: str, answer: Answer) -> None:
        """End a stream from outside: by ``answer`` if nothing was sent yet, else as clearly as its protocol can.

        An HTTP answer that is under way is left unfinished, which tells the client that it is not whole.
        """
        if not self.started:
            await self.answer(answer)
        elif self._websocket:
            await self.send({"type": "websocket.close", "code": _POLICY, "reason": reason})
