"""Who sends a request (EMR contract, section 3).

Two credentials are accepted: an access key's ACS3-HMAC-SHA256 signature, and an API token as ``x-acs-bearer-token``. The
others that the SDK can send are refused with their own codes: the SM3 and RSA algorithms and the older ``acs`` scheme
(``InvalidSignatureMethod``), id tokens (likewise), and security tokens of temporary keys: no temporary keys are issued
here, so such a token never belongs to the key that signed (``InvalidSecurityToken.MismatchWithAccessKey``).

Bearer tokens can be read and reused by anybody on the way, so they must come over TLS or from this machine.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from heliostat.domain.records import Principal
from heliostat.domain.secret import Secret
from heliostat.services import IdentityService
from heliostat.services.seams import Clock

from .errors import EmrError
from .request import Request
from .signature import read_claim, refuse_second_copies

_NOBODYS_SECRET = Secret(secrets.token_urlsafe(24))
"""Checked in place of an unknown key's, so that both take the same work."""


@dataclass(frozen=True)
class Proof:
    """A good credential."""

    principal: Principal
    key: str
    """Names the credential without revealing it."""
    nonce: str | None = None
    """To be remembered; bearer tokens have none."""


class Authenticator:
    def __init__(self, identity: IdentityService, clock: Clock, *, bearer_without_tls: bool) -> None:
        self._identity = identity
        self._clock = clock
        self._bearer_without_tls = bearer_without_tls

    async def identify(self, request: Request) -> Proof:
        """Whose request it is. Raises EmrError or Unauthenticated. A nonce is not looked at yet."""
        if "authorization" in request.headers:
            return await self._by_signature(request)
        token = request.headers.get("x-acs-bearer-token")
        if token is not None:
            return await self._by_token(request, token)
        if "x-acs-zero-trust-idtoken" in request.headers:
            raise EmrError("InvalidSignatureMethod", "Id tokens are not accepted; use an access key or a bearer token.")
        raise EmrError(
            "IncompleteSignature",
            "There is neither an Authorization header nor an x-acs-bearer-token; give a credential.",
        )

    async def use_up(self, proof: Proof) -> None:
        """Accept the request once and never again. Only a good signature may use up a nonce. Raises EmrError."""
        if proof.nonce is not None and not await self._identity.remember_nonce(proof.key, proof.nonce):
            raise EmrError("SignatureNonceUsed", "This request was received before; sign every request anew.")

    async def _by_signature(self, request: Request) -> Proof:
        now = self._clock.now()
        claim = read_claim(request, now)
        found = await self._identity.access_key(claim.key)
        proven = claim.proven_by(found[2] if found else _NOBODYS_SECRET)
        if found is None:
            raise EmrError("InvalidAccessKeyId.NotFound", f"There is no access key {claim.key}.")
        if not proven:
            raise claim.mismatch()
        credential, principal, _ = found
        if not credential.usable(now):
            raise EmrError("InvalidAccessKeyId.Inactive", f"The access key {claim.key} was revoked or has expired.")
        _refuse_security_token(request)
        return Proof(principal, claim.key, claim.nonce)

    async def _by_token(self, request: Request, token: str) -> Proof:
        refuse_second_copies(request)
        if not request.private and not self._bearer_without_tls:
            raise EmrError(
                "InvalidBearerToken", "Bearer tokens are accepted over https only; anybody can read this one."
            )
        principal = await self._identity.by_token(token)
        return Proof(principal, "bearer:" + hashlib.sha256(token.encode()).hexdigest())


def _refuse_security_token(request: Request) -> None:
    token = request.headers.get("x-acs-security-token")
    if token is None:
        return
    if not token:
        raise EmrError("InvalidSecurityToken.Malformed", "x-acs-security-token is empty.")
    raise EmrError(
        "InvalidSecurityToken.MismatchWithAccessKey",
        "The security token does not belong to this access key; keys made here are used without one.",
    )
