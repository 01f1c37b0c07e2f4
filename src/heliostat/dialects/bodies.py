"""What all dialects that speak HTTP do with the body of a request before they make sense of it."""

from __future__ import annotations

from starlette.types import Receive

_DRAINED = 16
"""So many times the limit is read of a body that is too large, since most clients only listen when they have sent it all."""


class Disconnected(Exception):
    """The client has gone; nobody is left to answer."""


class TooLarge(Exception):
    """The body has more bytes than it may."""


async def read_body(receive: Receive, limit: int, stated: str = "") -> bytes:
    """The whole body; ``stated`` is what ``content-length`` says. Raises TooLarge, and Disconnected when it does not come."""
    excess = stated.isdecimal() and int(stated) > limit
    chunks: list[bytes] = []
    size = 0
    while size <= limit * _DRAINED:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        excess = excess or size > limit
        if excess:
            chunks.clear()
        else:
            chunks.append(chunk)
        if not message.get("more_body", False):
            break
    if excess:
        raise TooLarge
    return b"".join(chunks)


def kind_of(value: object) -> str:
    """A JSON value's type in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
