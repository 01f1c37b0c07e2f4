"""The native API as data: what is asked, how an answer reads, what may be asked again. No I/O.

Both transports (:mod:`heliostat.client.aio.transport` and the one derived from it) only carry these.
"""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from .errors import HeliostatError, InvalidRequest, NotFound, Unavailable, Unreachable, of_problem

__all__ = [
    "Deadline", "EventLines", "NotFound", "Reconnection", "Request", "ServerEvent", "Unavailable",
    "delete", "get", "new_key", "passing", "patch", "pause", "post", "put", "read", "segment", "segments", "unreachable",
]  # fmt: skip

_ERROR_NUMBER = re.compile(r"^\[Errno -?\d+\] ")
STREAM_PATIENCE_SECONDS = 60.0
"""How long a stream that broke is opened again in vain before its reader is told."""


@dataclass(frozen=True)
class Request:
    """One call of the API. ``repeatable``: doing it twice has the effect of doing it once."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None  # JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    @property
    def parameters(self) -> dict[str, str | list[str]]:
        """The query without its None values."""
        return {key: _text(value) for key, value in self.query.items() if value is not None}

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        return replace(self, headers={**self.headers, **headers})


def get(path: str, **query: Any) -> Request:
    return Request("GET", path, query)


def post(path: str, body: Any = None, *, key: str | None = None, repeatable: bool = False, **query: Any) -> Request:
    """``key`` is an idempotency key, which makes the call repeatable."""
    headers = {"idempotency-key": key} if key else {}
    return Request("POST", path, query, body=body, headers=headers, repeatable=repeatable or key is not None)


def patch(path: str, body: Any, **query: Any) -> Request:
    return Request("PATCH", path, query, body=body, headers={"content-type": "application/merge-patch+json"})


def put(path: str, body: Any, **query: Any) -> Request:
    return Request("PUT", path, query, body=body)


def delete(path: str, **query: Any) -> Request:
    return Request("DELETE", path, query)


def segment(text: str) -> str:
    """A name or an id as one segment of a path. Raises InvalidRequest for an empty one, which would name what is above."""
    if not text:
        raise InvalidRequest("a name or an id must not be empty")
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def segments(name: str) -> str:
    """A name with slashes as so many segments of a path."""
    return "/".join(segment(part) for part in name.split("/"))


def new_key() -> str:
    """A fresh idempotency key."""
    return str(uuid.uuid4())


def read(status: int, headers: Mapping[str, str], content: bytes) -> Any:
    """The JSON of a good answer (None when empty). Raises the error that a bad one stands for."""
    document: Any = None
    if content:
        try:
            document = json.loads(content)
        except ValueError:
            document = None
    if status >= 400:
        raise of_problem(status, document if isinstance(document, dict) else None, headers.get("x-request-id"))
    if content and document is None:
        raise HeliostatError(
            "the answer is not JSON; is this endpoint a Heliostat server?", code="bad_answer", status=status
        )
    return document


def passing(status: int, content: bytes) -> bool:
    """Whether an answer says that the same request may do better in a moment."""
    if status in (502, 504):
        return True
    if status not in (429, 503):
        return False
    try:
        document = json.loads(content)
    except ValueError:
        return True
    return not isinstance(document, dict) or document.get("retry", "later") == "later"


def pause(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Seconds to wait before attempt ``attempt + 1`` (the first is 0): doubling from 0.1 s to 5 s, with jitter.

    The server's ``Retry-After`` counts when it is longer, up to 30 s.
    """
    own = min(5.0, 0.1 * 2.0**attempt) * random.uniform(0.5, 1.0)
    try:
        asked = float((headers or {}).get("retry-after", 0))
    except ValueError:
        asked = 0.0
    return max(own, min(asked, 30.0))


def unreachable(endpoint: str, cause: str) -> Unreachable:
    cause = _ERROR_NUMBER.sub("", cause)
    if "WRONG_VERSION_NUMBER" in cause or "RECORD_LAYER_FAILURE" in cause:
        return Unreachable(f"{endpoint} does not speak https; write http:// if it is a server without TLS")
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        remedy = "name the file of its authority with ca=, --ca or HELIOSTAT_CA_FILE"
        return Unreachable(f"the certificate of {endpoint} cannot be trusted ({cause}); {remedy}")
    return Unreachable(f"no Heliostat server at {endpoint} ({cause}); start one with: heliostat serve")


@dataclass(frozen=True)
class ServerEvent:
    """One server-sent event; ``kind`` is ``""`` for a sign of life without content."""

    kind: str
    data: Any = None  # JSON
    id: str = ""


class EventLines:
    """Reads ``text/event-stream``, piece by piece or line by line.

    Lines end with line feeds alone: what else Unicode takes for the end of a line may stand within the data.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._kind = "message"
        self._data: list[str] = []
        self._id = ""

    def take(self, piece: bytes) -> list[ServerEvent]:
        """The events that this piece completes."""
        *whole, self._rest = (self._rest + piece).split(b"\n") if b"\n" in piece else (self._rest + piece,)
        events = (self.feed(line.removesuffix(b"\r").decode(errors="replace")) for line in whole)
        return [event for event in events if event is not None]

    def feed(self, line: str) -> ServerEvent | None:
        """The event that this line completes, if it does."""
        if line.startswith(":"):
            return ServerEvent("")
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._kind = value
            elif name == "data":
                self._data.append(value)
            elif name == "id":
                self._id = value
            return None
        kind, data = self._kind, self._data
        self._kind, self._data = "message", []
        return ServerEvent(kind, json.loads("\n".join(data)), self._id) if data else None


class Reconnection:
    """Whether a stream that broke is opened again, and after how long."""

    def __init__(self) -> None:
        self._failures = 0
        self._since: float | None = None
        self.ever_good = False
        """What was there once and is not found any more is gone; what never was is an error."""

    def good(self) -> None:
        """Something came."""
        self.ever_good = True
        self._failures, self._since = 0, None

    def bad(self, error: HeliostatError) -> None:
        """It broke. Raises ``error`` when it has been broken for too long."""
        now = time.monotonic()
        self._failures += 1
        self._since = self._since or now
        if now - self._since > STREAM_PATIENCE_SECONDS:
            raise error

    @property
    def pause(self) -> float:
        return pause(self._failures)


class Deadline:
    """Counts down ``seconds`` from now; None never ends."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0.0

    @property
    def stream_seconds(self) -> float | None:
        """How long the server shall keep a stream open for this deadline."""
        return None if self.left is None else round(min(max(self.left, 0.05), 3600.0), 3)

    def at_most(self, seconds: float) -> float:
        return seconds if self.left is None else min(seconds, self.left)


def _text(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [str(part) for part in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
