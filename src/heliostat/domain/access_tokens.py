"""Access tokens: short-lived signed texts that stand for a credential, made without a write.

They name the credential that they were given for, which is looked up at every use: whoever takes that back ends them too.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime

PREFIX = "hlo_"
SHAPE = PREFIX + r"[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]{43}"
_SHAPE = re.compile(SHAPE)


@dataclass(frozen=True)
class AccessToken:
    credential: str
    """Id of the credential that it stands for."""
    expires_at: datetime
    """To the second."""


def issue(token: AccessToken, key: bytes) -> str:
    """The signed text."""
    body = _encode(f"{int(token.expires_at.timestamp())}\n{token.credential}".encode())
    return f"{PREFIX}{body}.{_signature(body, key)}"


def read(text: str, key: bytes) -> AccessToken | None:
    """What a genuine token says; None for any other text. It may have expired."""
    if not _SHAPE.fullmatch(text):
        return None
    body, _, signature = text.removeprefix(PREFIX).partition(".")
    if not hmac.compare_digest(signature, _signature(body, key)):
        return None
    try:
        expiry, credential = _decode(body).decode().split("\n", 1)
        return AccessToken(credential, datetime.fromtimestamp(int(expiry), UTC))
    except (ValueError, binascii.Error, OverflowError):
        return None


def _signature(body: str, key: bytes) -> str:
    return _encode(hmac.new(key, b"heliostat access token\0" + body.encode(), "sha256").digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
