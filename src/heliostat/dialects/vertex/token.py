"""The OAuth2 token endpoint, ``POST /token``: a signed assertion or a subject's token in, an access token out.

Two grants: jwt-bearer (Vertex contract, section 5.3), which Google's clients use when their key names the default universe,
and token exchange (RFC 8693), for an API token or a self-signed token that some file holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from heliostat.dialects.oauth import TokenEndpoint, TokenError, TokenRequest
from heliostat.services import GoogleIdentity
from heliostat.services.google_identity import Issued, ScopeRefused
from heliostat.services.signed_tokens import SCOPE

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SUBJECT_TYPES = (ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")


class GoogleTokenEndpoint(TokenEndpoint):
    def __init__(self, google: GoogleIdentity) -> None:
        self._google = google

    async def issued(self, request: TokenRequest) -> tuple[Issued, Mapping[str, object]]:
        try:
            grant = request.needed("grant_type")
            if grant == JWT_BEARER:
                return await self._google.of_assertion(request.needed("assertion")), {}
            if grant == TOKEN_EXCHANGE:
                return await self._exchange(request), {"issued_token_type": ACCESS_TOKEN}
        except ScopeRefused as error:
            raise TokenError("invalid_scope", error.message) from error
        raise TokenError("unsupported_grant_type", f"use {JWT_BEARER} or {TOKEN_EXCHANGE}")

    async def _exchange(self, request: TokenRequest) -> Issued:
        form = request.fields
        subject, kind = request.needed("subject_token"), request.needed("subject_token_type")
        if kind not in SUBJECT_TYPES:
            raise TokenError("invalid_request", f"subject_token_type must be one of {', '.join(SUBJECT_TYPES)}")
        if form.get("requested_token_type", ACCESS_TOKEN) not in ("", ACCESS_TOKEN):
            raise TokenError("invalid_request", f"requested_token_type must be {ACCESS_TOKEN}")
        if form.get("actor_token"):
            raise TokenError("invalid_request", "actor_token is not supported: nobody acts for another here")
        if form.get("scope") and SCOPE not in form["scope"].split(" "):
            raise TokenError("invalid_scope", f"the scope must hold {SCOPE}")
        return await self._google.of_subject(subject)
