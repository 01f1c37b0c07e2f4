"""Keys of service accounts and tokens signed with them: right ones, and wrong in any way that a test likes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from heliostat.client.google_keys import KeyPair, new_key_pair
from heliostat.services import KeyWish
from heliostat.services.signed_tokens import GOOGLES_TOKEN_ENDPOINT, SCOPE

from .conftest import Office

HOUR = 3600
GONE: object = ...
"""In the place of a value: the field is left out. (It is written alike in every process that names tests by it.)"""


@cache
def key_pair(number: int = 0) -> KeyPair:
    """The same for the same number: making one takes a while."""
    return new_key_pair()


@cache
def _loaded(private: str) -> RSAPrivateKey:
    key = load_pem_private_key(private.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def json_bytes(value: Any) -> bytes:  # JSON, or what shall stand in its place
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@dataclass(frozen=True)
class Account:
    """A registered key, at the side of a client."""

    key_id: str
    email: str
    pair: KeyPair

    def header(self, **changes: Any) -> dict[str, Any]:
        return _changed({"typ": "JWT", "alg": "RS256", "kid": self.key_id}, changes)

    def claims(self, now: datetime, **changes: Any) -> dict[str, Any]:
        """As Google's client makes them for an API, when its credential has scopes."""
        at = int(now.timestamp())
        own = {"iss": self.email, "sub": self.email, "iat": at, "exp": at + HOUR, "scope": SCOPE}
        return _changed(own, changes)

    def assertion(self, now: datetime, **changes: Any) -> str:
        """As it makes one for a token endpoint."""
        return self.signed(self.claims(now, **{"sub": GONE, "aud": GOOGLES_TOKEN_ENDPOINT, **changes}))

    def signed(self, claims: Any, header: Any = None, *, pair: KeyPair | None = None) -> str:
        """A token with the right signature, whatever it says. ``header`` and ``claims`` may be bytes of any kind."""
        text = f"{encoded(json_bytes(self.header() if header is None else header))}.{encoded(json_bytes(claims))}"
        return f"{text}.{encoded(_loaded((pair or self.pair).private).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def with_password(self, claims: Any, header: Any) -> str:
        """A token "signed" with the public key as a password, which everybody could make."""
        text = f"{encoded(json_bytes(header))}.{encoded(json_bytes(claims))}"
        return f"{text}.{encoded(hmac.digest(self.pair.public.encode(), text.encode(), hashlib.sha256))}"

    def token(self, now: datetime) -> str:
        return self.signed(self.claims(now))


def _changed(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**fields, **changes}.items() if value is not GONE}


async def account(
    office: Office, name: str = "editor", *, number: int = 0, lifetime: timedelta | None = None
) -> Account:
    """A new key of a person's, made by the admin."""
    pair, ann = key_pair(number), await office.caller("ann")
    wish = KeyWish(name, lifetime=lifetime)
    made = await office.services.google.create_key(ann, pair.public, office.workspace, wish)
    return Account(made.credential.id, made.email, pair)
