"""Tickets: short-lived signed texts that let whoever holds one read a single log file (EMR contract, section 6.4).

A ticket is made without a write and names its file and its end; it is signed with a key of the installation, so that it
is good on every server of it. It may stand in a URL as one path segment.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

from .ids import WorkspaceId


@dataclass(frozen=True)
class Ticket:
    workspace: WorkspaceId
    owner: str
    """Id of a job or an instance."""
    name: str
    """Of the file below the owner's folder."""
    expires_at: datetime
    """To the second."""


def issue(ticket: Ticket, key: bytes) -> str:
    """The signed text."""
    fields = (str(int(ticket.expires_at.timestamp())), ticket.workspace, ticket.owner, ticket.name)
    body = _encode("\n".join(fields).encode())
    return f"{body}.{_signature(body, key)}"


def redeem(text: str, key: bytes, now: datetime) -> Ticket | None:
    """What a genuine ticket that has not expired names; None for any other text."""
    body, _, signature = text.partition(".")
    try:
        if not hmac.compare_digest(signature.encode(), _signature(body, key).encode()):
            return None
        expiry, workspace, owner, name = _decode(body).decode().split("\n", 3)
        ticket = Ticket(WorkspaceId(workspace), owner, name, datetime.fromtimestamp(int(expiry), UTC))
    except (ValueError, binascii.Error, OverflowError):
        return None
    return ticket if now < ticket.expires_at else None


def _signature(body: str, key: bytes) -> str:
    return _encode(hmac.new(key, b"ticket\0" + body.encode(), "sha256").digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
