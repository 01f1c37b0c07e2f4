"""Passes: short-lived signed tokens that open one instance's dashboard and Jobs API, made without a write.

A pass names an instance, a role, a subject and an expiry, and is signed with a key that only the installation has and that is
another for each instance, so that it dies with the instance. It may stand in a URL: it holds neither ``/`` nor ``~`` nor ``?``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from .ids import InstanceId
from .records import Role
from .secret import Secret

PREFIX = "hlp_"


class Purpose(StrEnum):
    LINK = "l"
    """In a dashboard link; exchanged for a session."""
    SESSION = "s"
    """In a browser's cookie."""


@dataclass(frozen=True)
class Pass:
    purpose: Purpose
    instance: InstanceId
    role: Role
    subject: str
    """Name of the principal it was made for."""
    expires_at: datetime
    """To the second."""


def issue(granted: Pass, key: Secret) -> str:
    """The signed text of a pass."""
    fields = (
        granted.purpose,
        granted.instance,
        granted.role,
        str(int(granted.expires_at.timestamp())),
        granted.subject,
    )
    body = _encode("\n".join(fields).encode())
    return f"{PREFIX}{body}.{_signature(body, key)}"


def read(text: str) -> Pass | None:
    """What a pass claims, unchecked; None when it is not one. Trust it only after :func:`holds`."""
    if not text.startswith(PREFIX):
        return None
    body, _, _ = text.removeprefix(PREFIX).partition(".")
    try:
        purpose, instance, role, expiry, subject = _decode(body).decode().split("\n", 4)
        return Pass(
            Purpose(purpose), InstanceId(instance), Role(role), subject, datetime.fromtimestamp(int(expiry), UTC)
        )
    except (ValueError, binascii.Error, OverflowError):
        return None


def holds(text: str, key: Secret, now: datetime) -> bool:
    """Whether the pass is genuine for the instance with this key, and not expired."""
    claimed = read(text)
    body, _, signature = text.removeprefix(PREFIX).partition(".")
    genuine = hmac.compare_digest(signature.encode(), _signature(body, key).encode())
    return claimed is not None and genuine and now < claimed.expires_at


def _signature(body: str, secret: Secret) -> str:
    key = hashlib.sha256(b"heliostat pass\0" + secret.reveal().encode()).digest()
    return _encode(hmac.new(key, body.encode(), "sha256").digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
