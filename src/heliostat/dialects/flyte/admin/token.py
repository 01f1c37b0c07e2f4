"""The OAuth2 token endpoint of Flyte's clients: an access key pair in, an access token out (Flyte contract, section 6).

They use the grant client_credentials with ``authType: ClientSecret``: the client id is the id of an access key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote_plus

from heliostat.dialects.oauth import TokenEndpoint, TokenError, TokenRequest
from heliostat.domain.errors import Unauthenticated
from heliostat.services import GoogleIdentity
from heliostat.services.google_identity import Issued

CLIENT_CREDENTIALS = "client_credentials"
HOW = (
    "the grant must be client_credentials, as with authType ClientSecret and an access key; to have clients use the token of "
    "this machine's login: heliostat login --flyte"
)


class FlyteTokenEndpoint(TokenEndpoint):
    def __init__(self, google: GoogleIdentity) -> None:
        self._google = google

    async def issued(self, request: TokenRequest) -> tuple[Issued, Mapping[str, object]]:
        if request.needed("grant_type") != CLIENT_CREDENTIALS:
            raise TokenError("unsupported_grant_type", HOW)
        key_id, secret = _client(request)
        try:
            return await self._google.of_access_key(key_id, secret), {}
        except Unauthenticated as error:
            raise TokenError("invalid_client", error.message, 401) from error


def _client(request: TokenRequest) -> tuple[str, str]:
    """Id and secret, by HTTP Basic or in the form (RFC 6749, section 2.3.1). Raises TokenError."""
    if not request.authorization:
        return request.needed("client_id"), request.needed("client_secret")
    if len(request.authorization) > 1:
        raise TokenError("invalid_request", "the request has several authorization values; send one")
    if request.fields.get("client_secret"):
        raise TokenError("invalid_request", "the client's secret is shown twice; use HTTP Basic or the form")
    scheme, _, encoded = request.authorization[0].strip().partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        key_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")
    except (ValueError, binascii.Error):
        raise TokenError(
            "invalid_client", "the authorization must be HTTP Basic of client id and secret", 401
        ) from None
    if not colon:
        raise TokenError("invalid_client", "the authorization has no client secret", 401)
    return unquote_plus(key_id), unquote_plus(secret)
