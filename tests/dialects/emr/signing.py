"""A client's half of ACS3-HMAC-SHA256, written apart from the server's, for requests that the SDK would never send."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote


def signed_headers(
    method: str,
    path: str,
    *,
    key: str,
    secret: str,
    host: str,
    query: Mapping[str, str] | None = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    now: datetime | None = None,
    nonce: str | None = None,
    unsigned: tuple[str, ...] = (),
) -> dict[str, str]:
    """All headers of a signed request. ``path`` and ``query`` are decoded; ``headers`` add to or replace the usual ones."""
    sent = {
        "host": host,
        "x-acs-version": "2023-08-08",
        "x-acs-date": f"{now or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "x-acs-signature-nonce": nonce or secrets.token_hex(16),
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        "accept": "application/json",
    }
    if body:
        sent["content-type"] = "application/json; charset=utf-8"
    sent |= dict(headers or {})
    signed = sorted(name for name in sent if name not in unsigned)
    canonical_query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted((query or {}).items()))
    lines = "".join(f"{name}:{sent[name].strip()}\n" for name in signed)
    uri = "/".join(quote(segment, safe="~") for segment in path.split("/"))
    canonical = "\n".join([method, uri, canonical_query, lines, ";".join(signed), sent["x-acs-content-sha256"]])
    text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()
    sent["authorization"] = f"ACS3-HMAC-SHA256 Credential={key},SignedHeaders={';'.join(signed)},Signature={signature}"
    return sent
