"""Who asks, by the ``authorization`` values of a call, wherever a bearer token is shown: the same for all dialects that take
one, and for both of their transports."""

from __future__ import annotations

import re
from collections.abc import Sequence

from heliostat.domain import access_tokens
from heliostat.domain.errors import Unauthenticated
from heliostat.domain.service_accounts import JWT, MAX_TOKEN
from heliostat.services import Caller, Services

API_TOKEN = "hlt_"
_GOOGLES = ("ya29.", "1//", "AIza")
"""What the access tokens, refresh tokens and API keys of Google begin with."""
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


class BearerAuthenticator:
    """``remedy`` ends the sentences for those who have no good token: how this dialect's clients are set up."""

    def __init__(self, services: Services, remedy: str) -> None:
        self._identity = services.identity
        self._google = services.google
        self._remedy = remedy

    async def caller(self, authorization: Sequence[str]) -> Caller:
        """The caller of a call with these ``authorization`` values, in the order of their coming.

        Raises Unauthenticated. Several values are refused, even equal ones: something in front may have looked at another.
        """
        if len(authorization) > 1:
            raise Unauthenticated("the request has several authorization values; send one")
        if not authorization or not authorization[0].strip():
            raise Unauthenticated(f"the request shows no credential: send 'Authorization: Bearer ...'; {self._remedy}")
        shown = _BEARER.fullmatch(authorization[0].strip())
        if shown is None:
            raise Unauthenticated("the authorization must be 'Bearer', a space and one token")
        return await self._caller(shown[1])

    async def _caller(self, token: str) -> Caller:
        if token.startswith(API_TOKEN):
            return Caller(await self._identity.by_token(token))
        if token.startswith(_GOOGLES):
            raise Unauthenticated(
                "this is a credential of Google's own, which must not be sent here: whoever sees it can use it there. Make a "
                "key for this server with: heliostat key create --google-json FILE"
            )
        if token.startswith(access_tokens.PREFIX) or (len(token) <= MAX_TOKEN and JWT.fullmatch(token)):
            principal, _ = await self._google.principal_of(token)
            return Caller(principal)
        raise Unauthenticated(
            "this token is neither one that a key of this server signed, nor an access token, nor an API token (hlt_...) of it; "
            f"{self._remedy}"
        )
