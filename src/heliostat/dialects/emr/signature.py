"""ACS3-HMAC-SHA256, verified (EMR contract, section 3). Pure: bytes of a request in, a claim or a refusal out.

The two halves are apart, since the secret is looked up between them: :func:`read_claim` checks everything that needs no
secret and says which key claims to have signed; :meth:`Claim.proven_by` compares in constant time.

Sync and async clients escape one URL differently and sign the same canonical form, so paths and queries are decoded and
encoded again, from the raw target only. Clients of other languages sign fewer headers; the verifier follows
``SignedHeaders`` and insists on a minimum.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote, unquote_plus

from heliostat.domain.secret import Secret

from .errors import EmrError
from .request import Request

SKEW = timedelta(minutes=15)
ALGORITHM = "ACS3-HMAC-SHA256"
MUST_BE_SIGNED = ("host", "x-acs-date", "x-acs-content-sha256", "x-acs-signature-nonce")
LONGEST_NONCE = 128
_AUTHORIZATION = re.compile(
    r"(?P<algorithm>\S+)\s+Credential=(?P<key>[^,\s]+)\s*,\s*SignedHeaders=(?P<signed>[^,\s]+)\s*,\s*"
    r"Signature=(?P<signature>[0-9A-Fa-f]+)"
)
_OLD_SCHEME = re.compile(r"acs\s+[^:\s]+:\S+")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True)
class Claim:
    """A request that says it was signed with ``key``."""

    key: str
    nonce: str
    strings_to_sign: tuple[str, ...]
    """What a genuine client may have signed. Two when the query has keys that need escaping: the Python SDK leaves them."""
    signature: str

    def proven_by(self, secret: Secret) -> bool:
        """Whether ``secret`` made the signature."""
        key = secret.reveal().encode()
        return any(
            hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), self.signature)
            for text in self.strings_to_sign
        )

    def mismatch(self) -> EmrError:
        """The refusal; it shows what the server would have signed, as the vendor does, and never the secret."""
        return EmrError(
            "SignatureDoesNotMatch",
            "The signature does not match. Check the access key secret, and that no proxy changes headers or the path. "
            f"Server string to sign: {self.strings_to_sign[0]}",
        )


def read_claim(request: Request, now: datetime) -> Claim:
    """Who claims to have signed the request. Raises EmrError for everything that is wrong without knowing the secret."""
    headers = request.headers
    refuse_second_copies(request)
    authorization = headers.get("authorization", "")
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        if _OLD_SCHEME.fullmatch(authorization):
            raise _algorithm("the older scheme, which does not protect the body,")
        raise EmrError("IncompleteSignature", f"The Authorization header is missing or not of the form {ALGORITHM} ...")
    if match["algorithm"] != ALGORITHM:
        raise _algorithm(match["algorithm"])
    signed = match["signed"].split(";")
    _check_signed_headers(request, signed)
    _check_date(headers["x-acs-date"], now)
    nonce = headers["x-acs-signature-nonce"]
    if not 1 <= len(nonce) <= LONGEST_NONCE:
        raise EmrError("IncompleteSignature", f"x-acs-signature-nonce must have 1 to {LONGEST_NONCE} characters.")
    if headers.get("x-acs-accesskey-id", match["key"]) != match["key"]:
        raise EmrError("IncompleteSignature", "x-acs-accesskey-id is not the key in the Authorization header.")
    payload = headers["x-acs-content-sha256"]
    if payload.lower() != hashlib.sha256(request.body).hexdigest():
        raise EmrError("SignatureDoesNotMatch", "The body's SHA-256 is not the one in x-acs-content-sha256.")
    texts = _strings_to_sign(request, signed, payload)
    return Claim(match["key"], nonce, texts, match["signature"].lower())


def canonical_requests(request: Request, signed: list[str], payload: str) -> tuple[str, ...]:
    """The canonical request, with the keys of the query encoded and, where that differs, as they are."""
    pairs = sorted(
        (unquote_plus(key), unquote_plus(value))
        for key, _, value in (part.partition("=") for part in request.query.split("&") if part)
    )
    encoded = "&".join(f"{_encode(key)}={_encode(value)}" for key, value in pairs)
    plain = "&".join(f"{key}={_encode(value)}" for key, value in pairs)
    uri = "/".join(_encode(unquote(segment)) for segment in request.path.split("/")) or "/"
    lines: dict[str, list[str]] = {}
    for name, value in request.header_list:
        lines.setdefault(name, []).append(value)
    headers = "".join(f"{name}:{','.join(sorted(lines[name]))}\n" for name in signed)
    queries = (encoded,) if plain == encoded else (encoded, plain)
    return tuple("\n".join((request.method, uri, query, headers, ";".join(signed), payload)) for query in queries)


def _strings_to_sign(request: Request, signed: list[str], payload: str) -> tuple[str, ...]:
    return tuple(
        f"{ALGORITHM}\n{hashlib.sha256(text.encode()).hexdigest()}"
        for text in canonical_requests(request, signed, payload)
    )


def _encode(text: str) -> str:
    return quote(text, safe="~")


def _algorithm(name: str) -> EmrError:
    return EmrError("InvalidSignatureMethod", f"{name} is not accepted here; sign with {ALGORITHM}.")


def refuse_second_copies(request: Request) -> None:
    """No second copy of anything that is relied on: two readers of one request could see different ones.

    Raises EmrError.
    """
    seen = set()
    for name, _ in request.header_list:
        if name in seen and (name.startswith("x-acs-") or name in ("authorization", "host")):
            raise EmrError("IncompleteSignature", f"The header {name} was sent twice.")
        seen.add(name)


def _check_signed_headers(request: Request, signed: list[str]) -> None:
    headers = request.headers
    if signed != sorted(set(signed)) or any(name != name.lower() for name in signed):
        raise EmrError("IncompleteSignature", "SignedHeaders must be in lower case, sorted, each name once.")
    absent = next((name for name in (*MUST_BE_SIGNED, *signed) if name not in headers), None)
    if absent is not None:
        raise EmrError("IncompleteSignature", f"The header {absent} is missing.")
    needed = [*MUST_BE_SIGNED, *(name for name in headers if name.startswith("x-acs-"))]
    if request.body and "content-type" in headers:
        needed.append("content-type")
    unsigned = next((name for name in needed if name not in signed), None)
    if unsigned is not None:
        raise EmrError("IncompleteSignature", f"The header {unsigned} must be signed.")


def _check_date(text: str, now: datetime) -> None:
    try:
        date = datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC) if _DATE.fullmatch(text) else None
    except ValueError:
        date = None
    if date is None:
        raise EmrError("InvalidTimeStamp.Format", "x-acs-date must be like 2026-11-21T08:14:44Z.")
    if abs(now - date) > SKEW:
        raise EmrError(
            "InvalidTimeStamp.Expired",
            f"x-acs-date is more than 15 minutes from the server's time, {now:%Y-%m-%dT%H:%M:%SZ}; set this machine's clock.",
        )
