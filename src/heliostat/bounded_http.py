"""uvicorn's HTTP protocol with bounds on the head of a request, which it reads without any.

Before its head is complete nobody knows who sends a request, so a stranger must not be able to fill the memory with
header lines or to hold connections open for nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 << 10
"""Bytes of request line and headers. What arrives with the last of them in one piece is not counted apart."""
HEAD_SECONDS = 20.0
"""From a connection, or the first byte of a later request on it, to the end of the head."""


class BoundedHttp(HttpToolsProtocol):
    """One connection. A head that is too large is answered with 431, one that takes too long with 408."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # uvicorn's own, handed on
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._begun = False
        """Whether a request has begun to arrive."""
        self._received = 0
        """Bytes of the head that is being read."""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._received += len(data)
        super().data_received(data)
        if self._in_head and self._received > MAX_HEAD and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large", f"The headers have more than {MAX_HEAD} bytes.")

    def on_message_begin(self) -> None:
        self._begun = True
        if self._timer is None:
            self._set_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._received = 0
        super().on_message_complete()

    def _set_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self._begun:
            self._refuse(b"408 Request Timeout", "The headers did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, status: bytes, sentence: str) -> None:
        self._stop_timer()
        body = sentence.encode()
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, len(body), body)
        )
        self.transport.close()
