"""Errors as this vendor's clients see them: the codes, their HTTP statuses, the envelope, and the table from our errors.

Statuses and codes are those of the EMR contract, section 10. Users compare ``e.code``, so a code is never reworded.
"""

from __future__ import annotations

from dataclasses import dataclass

from heliostat.domain import errors
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import RequestId

from .paths import emr_path, emr_words

STATUS = {
    "MissingParameter": 400,
    "InvalidParameter": 400,
    "IncompleteSignature": 400,
    "SignatureDoesNotMatch": 400,
    "SignatureNonceUsed": 400,
    "InvalidTimeStamp.Format": 400,
    "InvalidTimeStamp.Expired": 400,
    "InvalidSignatureMethod": 400,
    "InvalidSecurityToken.Malformed": 400,
    "InvalidSecurityToken.MismatchWithAccessKey": 400,
    "InvalidAccessKeyId.NotFound": 404,
    "InvalidAccessKeyId.Inactive": 403,
    "InvalidBearerToken": 403,
    "Forbidden.RAM": 403,
    "InvalidAction.NotFound": 404,
    "InvalidVersion": 400,
    "UnsupportedHTTPMethod": 405,
    "ResourceNotFound": 404,
    "OperationDenied": 409,
    "ResourceAlreadyExists": 409,
    "IdempotentParameterMismatch": 400,
    "QuotaExceeded": 400,
    "Throttling.User": 429,
    "RequestEntityTooLarge": 413,
    "InternalError": 500,
    "ServiceUnavailable": 503,
}
"""Every code that this dialect sends."""

CODES: dict[type[HeliostatError], str] = {
    errors.MissingField: "MissingParameter",
    errors.InvalidRequest: "InvalidParameter",
    errors.NotFound: "ResourceNotFound",
    errors.Conflict: "OperationDenied",
    errors.NotReady: "OperationDenied",
    errors.AlreadyExists: "ResourceAlreadyExists",
    errors.IdempotencyMismatch: "IdempotentParameterMismatch",
    errors.Unauthenticated: "InvalidBearerToken",
    errors.Forbidden: "Forbidden.RAM",
    errors.QuotaExceeded: "QuotaExceeded",
    errors.Throttled: "Throttling.User",
    errors.Unavailable: "ServiceUnavailable",
}
"""From our errors; a subclass is found by its nearest listed parent."""

UNAVAILABLE_RETRY_MS = 1000


class EmrError(HeliostatError):
    """An error that only this dialect has words for. ``path`` is a JSON path of the request, in its own names."""

    def __init__(self, code: str, message: str, *, path: str | None = None) -> None:
        super().__init__(message, path=path)
        self.code = code


def missing(path: str, message: str = "is required") -> EmrError:
    """A needed field is absent."""
    return EmrError("MissingParameter", message, path=path)


def invalid(path: str, message: str) -> EmrError:
    """A field has a wrong type, value or range."""
    return EmrError("InvalidParameter", message, path=path)


def unknown_action(message: str) -> EmrError:
    """There is no such operation here."""
    return EmrError("InvalidAction.NotFound", message)


@dataclass(frozen=True)
class Told:
    """An error as it is sent."""

    code: str
    message: str
    retry_after_ms: int | None = None
    denied: errors.Forbidden | None = None

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def body(self, request: RequestId, host: str, action: str) -> dict[str, object]:
        """The envelope (EMR contract, section 4.3)."""
        envelope: dict[str, object] = {
            "RequestId": request,
            "HostId": host,
            "Code": self.code,
            "Message": self.message,
            "Recommend": "",
        }
        if self.denied is not None:
            envelope["AccessDeniedDetail"] = {
                "AuthAction": f"emr-serverless-spark:{action}",
                "AuthPrincipalType": "User",
                "AuthPrincipalDisplayName": self.denied.principal,
                "PolicyType": "AccountLevelIdentityBasedPolicy",
                "NoPermissionType": "ImplicitDeny",
            }
        return envelope


INTERNAL = Told("InternalError", "The request failed because of a fault in the server; its log has the request id.")


def told(error: HeliostatError) -> Told:
    """How a caller is told of ``error``: its code here, and its paths and field names in this dialect's spelling."""
    if isinstance(error, EmrError):
        return Told(error.code, str(error))
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), INTERNAL.code)
    if code == INTERNAL.code:
        return INTERNAL
    words = emr_words(error.message)
    message = f"{emr_path(error.path)}: {words}" if error.path else words
    if isinstance(error, errors.Throttled):
        return Told(code, message, retry_after_ms=error.after_ms)
    if isinstance(error, errors.Unavailable):
        return Told(code, message, retry_after_ms=UNAVAILABLE_RETRY_MS)
    return Told(code, message, denied=error if isinstance(error, errors.Forbidden) else None)
