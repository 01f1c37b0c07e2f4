"""Carries requests over HTTP: connections, time limits, retries.

Derived from ``aio/transport.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from ..credentials import Credentials
from ..errors import HeliostatError, RequestTimeout, Unavailable, of_problem
from ..http import httpx, without_proxy
from ..protocol import EventLines, Request, ServerEvent, passing, pause, read, unreachable

PIECE = 256 << 10
"""Bytes of a file that are sent at a time."""
STORE_SECONDS = 300.0
"""How long the server may take to store what was sent."""


class Transport:
    """One pool of connections to one server, authenticated as one principal."""

    def __init__(self, credentials: Credentials, *, timeout: float, retries: int, agent: str) -> None:
        self.endpoint = credentials.endpoint
        self._retries = retries
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=credentials.endpoint,
            headers={"authorization": f"Bearer {credentials.token}", "user-agent": agent, "accept": "application/json"},
            timeout=timeout,
            verify=_trust(credentials),
            mounts=without_proxy(credentials.endpoint),
        )

    def send(self, request: Request) -> Any:
        """The answer's JSON. Retries what may be repeated; raises a :class:`HeliostatError`."""
        attempt = 0
        while True:
            try:
                answer = self._http.request(
                    request.method, request.path, params=request.parameters, json=request.body, headers=request.headers
                )
            except httpx.TransportError as error:
                problem = self._problem(error)
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if attempt >= self._retries or not (request.repeatable or unsent):
                    raise problem from error
                time.sleep(pause(attempt))
            else:
                again = request.repeatable and passing(answer.status_code, answer.content)
                if not again or attempt >= self._retries:
                    if answer.status_code == 404 and request.method == "DELETE" and attempt:
                        return None
                    return read(answer.status_code, answer.headers, answer.content)
                time.sleep(pause(attempt, answer.headers))
            attempt += 1

    def stream(self, request: Request, *, silence: float = 30.0) -> Generator[ServerEvent, None, None]:
        """Server-sent events until the server ends the stream.

        Raises Unavailable when it breaks, or when nothing (not even a sign of life) came for ``silence`` seconds.
        """
        limits = httpx.Timeout(self._timeout, read=silence)
        headers = {**request.headers, "accept": "text/event-stream"}
        lines = EventLines()
        try:
            with self._http.stream(
                request.method, request.path, params=request.parameters, headers=headers, timeout=limits
            ) as answer:
                if answer.status_code >= 400:
                    read(answer.status_code, answer.headers, answer.read())
                for piece in answer.iter_bytes():
                    for event in lines.take(piece):
                        if event.kind == "error":
                            status = event.data.get("status", 500)
                            raise of_problem(status, event.data, answer.headers.get("x-request-id"))
                        yield event
        except httpx.TransportError as error:
            raise self._problem(error) from error

    def pieces(self, request: Request, *, silence: float = 60.0) -> Generator[bytes, None, None]:
        """The bytes of an answer as they come. Nothing is tried again.

        Raises Unavailable when it breaks, or when nothing came for ``silence`` seconds.
        """
        limits = httpx.Timeout(self._timeout, read=silence)
        headers = {**request.headers, "accept": "*/*"}
        try:
            with self._http.stream(
                request.method, request.path, params=request.parameters, headers=headers, timeout=limits
            ) as answer:
                if answer.status_code >= 400:
                    read(answer.status_code, answer.headers, answer.read())
                yield from answer.iter_bytes()
        except httpx.TransportError as error:
            raise self._problem(error) from error

    def upload(self, path: str, file: Path, size: int) -> Any:
        """PUT a file of ``size`` bytes, piece by piece; the answer's JSON. It must do no harm to repeat it."""
        headers = {"content-type": "application/zip", "content-length": str(size)}
        limits = httpx.Timeout(self._timeout, read=max(self._timeout, STORE_SECONDS))
        attempt = 0
        while True:
            try:
                answer = self._http.put(path, content=_pieces(file), headers=headers, timeout=limits)
            except httpx.TransportError as error:
                if attempt >= self._retries:
                    raise self._problem(error) from error
                time.sleep(pause(attempt))
            else:
                if attempt >= self._retries or not passing(answer.status_code, answer.content):
                    return read(answer.status_code, answer.headers, answer.content)
                time.sleep(pause(attempt, answer.headers))
            attempt += 1

    def close(self) -> None:
        self._http.close()

    def _problem(self, error: httpx.TransportError) -> HeliostatError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return unreachable(self.endpoint, str(error) or type(error).__name__)
        if isinstance(error, httpx.TimeoutException):
            return RequestTimeout(f"{self.endpoint} did not answer in {self._timeout:g} s")
        return Unavailable(f"the connection to {self.endpoint} broke: {error}")


def _pieces(file: Path) -> Generator[bytes, None, None]:
    """The content of a file."""
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            yield piece


def _trust(credentials: Credentials) -> ssl.SSLContext | bool:
    """Whom to trust; for plain http nothing is loaded, since there are no certificates (redirects are not followed)."""
    if not credentials.endpoint.lower().startswith("https:"):
        return False
    return ssl.create_default_context(cafile=credentials.ca) if credentials.ca else True
