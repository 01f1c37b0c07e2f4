"""Lists page by page: how many, and where to go on. Tokens belong to the list that gave them (Vertex contract, section 4.4)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from .call import Json
from .errors import invalid

DEFAULT_SIZE = 100
MAX_SIZE = 1000
_MARK = 12
"""Bytes of the digest that names the list."""


@dataclass(frozen=True)
class Page:
    """What is asked for."""

    place: str
    """Names the list, the filter included."""
    size: int
    after: str | None
    """The id that the page before this one ended with."""


def read_page(request: Json, place: str) -> Page:
    """The page that a request's ``pageSize`` and ``pageToken`` mean. Raises VertexError."""
    size = int(request.get("pageSize", 0))
    if size < 0:
        raise invalid("pageSize", "must not be negative")
    token: str = request.get("pageToken", "")
    return Page(place, min(size or DEFAULT_SIZE, MAX_SIZE), _read_token(token, place) if token else None)


def next_token(page: Page, last: str) -> str:
    """What continues after ``last``."""
    return base64.urlsafe_b64encode(_mark(page.place) + last.encode()).decode().rstrip("=")


def _read_token(token: str, place: str) -> str:
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        last = text[_MARK:].decode("ascii")
    except (binascii.Error, ValueError):
        raise invalid("pageToken", "is none of this list's") from None
    if text[:_MARK] != _mark(place) or not last.isprintable():
        raise invalid("pageToken", "is none of this list's")
    return last


def _mark(place: str) -> bytes:
    return hashlib.sha256(place.encode()).digest()[:_MARK]
