"""Permits: signed texts in the URLs at which clients put and get data without any other credential.

A permit names everything that it is for: who asked for it, where the data is, what it must be, until when. It is no
replacement for being allowed: whoever uses one acts as the one who asked, with the roles of that moment.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from heliostat.domain.ids import PrincipalId, WorkspaceId

PUT = "put"
GET = "get"
_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,12000}\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Permit:
    verb: str
    """:data:`PUT` or :data:`GET`."""
    workspace: WorkspaceId
    principal: PrincipalId
    """Who asked for it."""
    url: str
    """Where the data is."""
    md5: str
    """Of the data, 32 hex digits; empty = any."""
    name: str
    """Key of the document that says which content an upload has whose place is not told by its content; empty = none."""
    expires_at: datetime
    """To the second."""


def issue(permit: Permit, key: bytes) -> str:
    """The signed text, fit for a URL."""
    values = (permit.verb, permit.workspace, permit.principal, permit.url, permit.md5, permit.name)
    body = _encode(orjson.dumps([*values, int(permit.expires_at.timestamp())]))
    return f"{body}.{_signature(body, key)}"


def read(text: str, key: bytes) -> Permit | None:
    """What a genuine permit says; None for any other text. It may have expired."""
    if not _SHAPE.fullmatch(text):
        return None
    body, _, signature = text.partition(".")
    if not hmac.compare_digest(signature, _signature(body, key)):
        return None
    try:
        *values, end = orjson.loads(_decode(body))
    except (ValueError, binascii.Error):
        return None
    if len(values) != 6:
        return None
    verb, workspace, principal, url, md5, name = values
    ends = datetime.fromtimestamp(end, UTC)
    return Permit(verb, WorkspaceId(workspace), PrincipalId(principal), url, md5, name, ends)


def _signature(body: str, key: bytes) -> str:
    return _encode(hmac.new(key, b"heliostat flyte permit\0" + body.encode(), "sha256").digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
