"""JSON Web Tokens that Google's clients sign by themselves: what one must look like to be believed (Vertex contract, 5.2).

Pure: the key is found by others, between :func:`opened` and :func:`checked`. Only RS256 counts, so that neither a token
without a signature nor one that is "signed" with a public key as a password can pass.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from heliostat.domain.errors import InvalidRequest, Unauthenticated
from heliostat.domain.service_accounts import GOOGLES_EMAIL_DOMAIN, JWT, MAX_TOKEN, json_part

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PRODUCTS = ("https://aiplatform.googleapis.com/", "https://cloudresourcemanager.googleapis.com/")
"""Audiences of clients without scopes: always the products' own hosts, wherever the client is pointed to."""
GOOGLES_TOKEN_ENDPOINT = "https://oauth2.googleapis.com/token"
"""The audience that Google's client writes into an assertion, whatever its key file says."""
LIFETIME = timedelta(hours=1)
SLACK = timedelta(minutes=1)
"""By how much a token may be longer: some clients date it back a little."""
SKEW = timedelta(minutes=5)
"""By how much the clock of a client may be wrong."""
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIMES = range(1 << 33)
"""In seconds; all of them have a date."""
_MAX_PEM = 4096
_BITS = range(2048, 8193)


@dataclass(frozen=True)
class Opened:
    """A token taken apart, with nothing believed yet."""

    text: str = field(repr=False)
    key_id: str
    issuer: str
    claims: Mapping[str, object]


@dataclass(frozen=True)
class Claims:
    """What a genuine token says."""

    issued_at: datetime
    expires_at: datetime
    issuer: str
    subject: str | None
    """For whom it speaks; None when it does not say so."""
    audience: str | None
    scopes: frozenset[str] | None


def opened(text: str) -> Opened:
    """Raises Unauthenticated for what cannot be a token of ours, however it is signed."""
    if len(text) > MAX_TOKEN or not JWT.fullmatch(text):
        raise Unauthenticated(f"the token is not a JSON Web Token of at most {MAX_TOKEN} characters")
    head, body, _ = text.split(".")
    try:
        header, claims = json_part(head), json_part(body)
    except ValueError:
        raise Unauthenticated("the token is not a JSON Web Token: its parts are not base64url of JSON") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise Unauthenticated("the token is not a JSON Web Token: its parts are not objects")
    issuer = claims.get("iss")
    if isinstance(issuer, str) and issuer.endswith(GOOGLES_EMAIL_DOMAIN):
        raise Unauthenticated(GOOGLES_KEY)
    if header.get("alg") != "RS256" or str(header.get("typ", "JWT")).upper() != "JWT" or "crit" in header:
        raise Unauthenticated("the token must be a JWT that is signed with RS256, without critical extensions")
    if any(isinstance(value, dict | list) for value in header.values()):
        raise Unauthenticated("the token's header may hold nothing but single values")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id) or not isinstance(issuer, str):
        raise Unauthenticated("the token must name its key (kid) and its issuer (iss)")
    return Opened(text, key_id, issuer, claims)


def checked(token: Opened, public_key: str, subject: str, now: datetime) -> Claims:
    """What the token says, once it is known to be signed with this key by ``subject``. Raises Unauthenticated.

    That it has expired is for the caller to see: a session may outlast its token.
    """
    try:
        key = load_pem_public_key(public_key.encode())
        jwt.PyJWS().decode_complete(token.text, key=key, algorithms=["RS256"])  # type: ignore[arg-type]
    except jwt.PyJWTError:
        raise Unauthenticated("the token's signature is not by the key that it names") from None
    if token.issuer != subject:
        raise Unauthenticated("the token's issuer (iss) is not the account that its key was made for")
    said = token.claims
    issued_at, expires_at = _time(said, "iat"), _time(said, "exp")
    if issued_at is None or expires_at is None:
        raise Unauthenticated("the token must say when it was made and when it ends (iat, exp), in whole seconds")
    if not timedelta(0) < expires_at - issued_at <= LIFETIME + SLACK:
        raise Unauthenticated("the token must be good for at most an hour (exp - iat)")
    begins = _time(said, "nbf") if "nbf" in said else issued_at
    if begins is None or max(issued_at, begins) > now + SKEW:
        raise Unauthenticated("the token is not good yet; is the clock of your machine right?")
    audience, scope, own = (_text(said, name) for name in ("aud", "scope", "sub"))
    scopes = None if scope is None else frozenset(scope.split(" "))
    return Claims(issued_at, expires_at, token.issuer, own, audience, scopes)


def check_self_signed(claims: Claims, audiences: Collection[str]) -> None:
    """Whether the token may be shown to an API. Raises Unauthenticated."""
    if claims.subject != claims.issuer:
        raise Unauthenticated("the token's subject (sub) must be its issuer (iss)")
    if (claims.audience is None) == (claims.scopes is None):
        raise Unauthenticated("the token must have either a scope or an audience (aud)")
    if claims.scopes is not None and SCOPE not in claims.scopes:
        raise Unauthenticated(f"the token's scope must hold {SCOPE}")
    if claims.audience is not None and claims.audience not in audiences:
        raise Unauthenticated("the token's audience (aud) is another service")


def usable_public_key(text: str) -> str:
    """The key in the form that it is kept in. Raises InvalidRequest when it cannot be one of a service account."""
    if "PRIVATE KEY" in text:
        raise InvalidRequest(
            "this is a private key, which must stay where it is; send its public key", path="public_key"
        )
    if len(text) > _MAX_PEM or not text.strip().startswith("-----BEGIN PUBLIC KEY-----"):
        raise InvalidRequest("must be a public key in PEM: -----BEGIN PUBLIC KEY-----...", path="public_key")
    try:
        key = load_pem_public_key(text.strip().encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidRequest("is not a public key that can be read", path="public_key") from None
    if not isinstance(key, RSAPublicKey) or key.key_size not in _BITS or key.public_numbers().e != 65537:
        raise InvalidRequest(
            f"must be an RSA key of {_BITS.start} to {_BITS.stop - 1} bits with the exponent 65537", path="public_key"
        )
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


GOOGLES_KEY = (
    "this token is signed with a key that Google issued. Such keys must not be used here: whoever sees this token can act for "
    "that account at Google for an hour. Make a key for this server with: heliostat key create --google-json FILE"
)


def _time(claims: Mapping[str, object], name: str) -> datetime | None:
    """None unless it is a whole number of seconds in a year that has a date."""
    value = claims.get(name)
    return datetime.fromtimestamp(value, UTC) if type(value) is int and value in _TIMES else None


def _text(claims: Mapping[str, object], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and not isinstance(value, str):
        raise Unauthenticated(f"the token's {name} must be a single text")
    return value
